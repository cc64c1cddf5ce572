"""When all books were last verified: noted by the command and by the operator's API, where there is a place for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts
from alikassa.ledger.verify import PastVerification, last_verification
from command_line import call
from operator_server import operator_here


async def last(url: str) -> PastVerification | None:
    async with Database.attach(url) as database:
        return await last_verification(database)


async def open_two(url: str) -> str:
    """Two accounts; the id of one."""
    async with await Database.open(url, create=True) as database:
        registry = Registry(database)
        merchant = await registry.add_merchant("Shop")
        ids = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(2)]
    return str(ids[0])


async def spoil(url: str, account: str) -> None:
    async with await Database.open(url) as database, database.write() as connection:
        await connection.execute(sa.update(accounts).where(sa.cast(accounts.c.id, sa.Text) == account).values(hold=1))


@pytest.fixture
def account(migrated_url: str) -> str:
    """On each engine in turn."""
    return asyncio.run(open_two(migrated_url))


def test_the_command_notes_what_it_found(migrated_url: str, account: str) -> None:
    """The last one counts; of one account alone, nothing is noted."""
    began = datetime.now(UTC)
    assert call("books", "verify", "--account", account, "--database", migrated_url).returncode == 0
    assert asyncio.run(last(migrated_url)) is None
    assert call("books", "verify", "--database", migrated_url).returncode == 0
    first = asyncio.run(last(migrated_url))
    assert first is not None
    assert (first.accounts, first.entries, first.wrong) == (2, 0, 0)
    assert began - timedelta(milliseconds=1) <= first.started_at <= first.finished_at <= datetime.now(UTC)
    asyncio.run(spoil(migrated_url, account))
    assert call("books", "verify", "--database", migrated_url).returncode == 1
    second = asyncio.run(last(migrated_url))
    assert second is not None
    assert second.wrong > 0
    assert second.id > first.id


def test_the_operators_api_notes_it_too(sqlite_url: str) -> None:
    """Of all books, not of one account."""
    account = asyncio.run(open_two(sqlite_url))
    with operator_here(sqlite_url) as operator:
        assert operator.get(f"/verify?account={account}").status == 200
        assert asyncio.run(last(sqlite_url)) is None
        assert operator.get("/verify").status == 200
    found = asyncio.run(last(sqlite_url))
    assert found is not None
    assert (found.accounts, found.wrong) == (2, 0)


def test_books_that_cannot_be_written_are_verified_all_the_same(
    postgresql_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a copy that only reads: the command and the API answer, and say that it was not noted."""

    async def forbid() -> None:
        connection = await asyncpg.connect(postgresql_url)
        try:
            name = await connection.fetchval("SELECT current_database()")
            await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        finally:
            await connection.close()

    asyncio.run(open_two(postgresql_url))
    with operator_here(postgresql_url) as operator:
        asyncio.run(forbid())
        done = call("books", "verify", "--database", postgresql_url)
        assert done.returncode == 0
        assert "The books are true.\nwarning: " in done.stderr
        assert "was not kept" in done.stderr
        assert operator.get("/verify").json["wrong"] == 0
        assert "a verification was not written down" in "".join(capfd.readouterr())
    assert asyncio.run(last(postgresql_url)) is None
