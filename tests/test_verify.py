"""Books that are true, and the command that says so."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from alikassa.errors import NotFoundError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Kind
from alikassa.ledger.periods import close_period
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts, journal_entries, lots, payouts, postings
from alikassa.ledger.verify import Progress, pages, verify
from books_story import FIRST, SECOND, Calendar, tell_story
from command_line import CONFIGURATION, REFUSED, USAGE, call, complaint, printed

pytestmark = pytest.mark.anyio

UNTRUE = 1  # exit code


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


async def count(database: Database, table: sa.Table) -> int:
    async with database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_a_story_of_every_kind_of_entry_is_true(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it was looked at, in pages smaller than an account, and nothing was wrong."""
    monkeypatch.setattr(pages, "PAGE", 7)
    await tell_story(database)
    async with database.read() as connection:
        kinds = set(await connection.scalars(sa.select(journal_entries.c.kind)))
    assert kinds == set(Kind)
    told: list[Progress] = []
    found = await verify(database, progress=told.append)
    assert found.problems == ()
    assert (found.accounts, found.entries, found.postings, found.lots, found.payouts, found.chains) == (
        2,
        *[await count(database, table) for table in (journal_entries, postings, lots, payouts)],
        2,
    )
    assert told[-1] == Progress(2, found.entries, 2, found.entries)


async def test_one_account_is_verified_by_itself(database: Database) -> None:
    """Another's rows are not its business, and an account that there is not is no true account."""
    await tell_story(database)
    async with database.write() as connection:
        await connection.execute(sa.update(accounts).where(accounts.c.id == SECOND).values(balance=1))
    assert (await verify(database, account=FIRST)).problems == ()
    found = await verify(database, account=SECOND)
    assert {one.account for one in found.problems} == {SECOND, None}
    # A payout of 1000.00000007 came back; the row says 0.00000001.
    assert found.problems[-1].what == "The trial balance in USDT is -1000.00000006, not zero."
    with pytest.raises(NotFoundError):
        await verify(database, account=uuid.UUID(int=5))


async def test_an_account_opened_after_a_period_was_closed_is_true(database: Database) -> None:
    """It is closed that far without an entry that says so; with an entry before that, it is not true."""
    calendar = Calendar()
    registry = Registry(database, calendar)
    merchant = await registry.add_merchant("Shop")
    first = await registry.open_account(merchant.id, "RUB")
    await close_period(database, until=calendar.now, reference="february", now=calendar)
    second = await registry.open_account(merchant.id, "RUB")
    calendar.wait(1)
    await Books(database, calendar).book(Payment(second.id, 5, "p"))
    assert (await verify(database)).problems == ()
    async with database.write() as connection:
        later = calendar.now + timedelta(days=1)
        await connection.execute(sa.text("DELETE FROM closed_periods"))
        await connection.execute(sa.update(accounts).where(accounts.c.id == second.id).values(closed_until=later))
    assert {one.account for one in (await verify(database)).problems} == {second.id}
    assert first.id != second.id


# The command line


@pytest.fixture
def told(sqlite_url: str) -> str:
    """The story, on SQLite; its URL."""

    async def tell() -> None:
        async with await Database.open(sqlite_url, create=True) as opened:
            await tell_story(opened)

    asyncio.run(tell())
    return sqlite_url


def tamper(url: str) -> None:
    async def write() -> None:
        async with await Database.open(url) as opened, opened.write() as connection:
            await connection.execute(sa.update(accounts).where(accounts.c.id == FIRST).values(hold=1))

    asyncio.run(write())


def test_the_command_says_that_all_is_true(told: str) -> None:
    """What it checked, and that it was true: in words on stderr, as data on stdout."""
    done = call("books", "verify", "--database", told)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Checked 2 accounts, " in done.stderr
    assert done.stderr.endswith("The books are true.\n")
    found = printed("books", "verify", "--account", str(SECOND), "--database", told)
    assert (found["true"], found["accounts"], found["wrong"], found["problems"]) == (True, 1, 0, [])


def test_the_command_names_what_is_wrong(told: str) -> None:
    """With an exit code of its own."""
    tamper(told)
    words = complaint(UNTRUE, "books", "verify", "--database", told)
    assert f"Account {FIRST}: Its hold is " in words
    done = call("books", "verify", "--json", "--database", told)
    assert done.returncode == UNTRUE
    assert {one["account"] for one in json.loads(done.stdout)["problems"]} == {str(FIRST), None}


def test_heads_are_written_only_of_true_books(told: str, tmp_path: Path) -> None:
    """And read again: the same file may be checked and renewed."""
    file = tmp_path / "heads.jsonl"
    assert call("books", "verify", "--write-heads", file, "--database", told).returncode == 0
    written = file.read_text()
    assert [json.loads(line)["account"] for line in written.splitlines()] == [str(FIRST), str(SECOND)]
    file.write_text(written.replace('"hash": "', '"hash": "00'))
    words = complaint(UNTRUE, "books", "verify", "--heads", file, "--write-heads", file, "--database", told)
    assert "It is not the entry whose hash was exported." in words
    assert '"hash": "00' in file.read_text()
    assert list(tmp_path.glob("heads*")) == [file]


def test_files_that_cannot_be_used_are_refused(told: str, tmp_path: Path) -> None:
    """Each in its own words."""
    assert "cannot be read" in complaint(
        CONFIGURATION, "books", "verify", "--heads", tmp_path / "none", "--database", told
    )
    (tmp_path / "some").write_text("text")
    assert "no chain heads" in complaint(USAGE, "books", "verify", "--heads", tmp_path / "some", "--database", told)
    nowhere = tmp_path / "no" / "where"
    assert "cannot be written" in complaint(
        CONFIGURATION, "books", "verify", "--write-heads", nowhere, "--database", told
    )
    assert "There is no account" in complaint(
        REFUSED, "books", "verify", "--account", str(uuid.UUID(int=5)), "--database", told
    )
