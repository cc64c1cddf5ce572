"""The exported books, read by the programs that they are for, come to what our books say, to the last digit."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from beancount import loader
from beancount.core import data, realization

from alikassa.errors import DatabaseError, NotFoundError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.export import Exported, Form, export
from alikassa.ledger.model import Account, Bucket
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import journal_entries, postings
from alikassa.money import BOUND, to_decimal
from books_story import AWKWARD, FIRST, tell_story
from command_line import CONFIGURATION, REFUSED, call, complaint
from conftest import ALIKASSA

LARGE = uuid.UUID("00000000-0000-4000-8000-00000000000a")
#: What each of our places is called in the chart of accounts, the last part of its name.
CHART = {
    "system:clearing": "Assets:Clearing",
    "system:payouts": "Assets:Payouts",
    "system:fees": "Income:Fees",
    "system:adjustments": "Equity:Adjustments",
    "system:opening": "Equity:Opening-Balances",
    "balance": "Balance",
    "hold": "Hold",
    "rolling_reserve": "Rolling-Reserve",
    "pending_payouts": "Pending-Payouts",
}
Totals = dict[tuple[str, str], Decimal]


@dataclass(frozen=True)
class Told:
    """The story and accounts with as much as there can be: their database, what was exported, and the totals."""

    url: str
    texts: dict[Form, str]
    accounts: list[Account]
    totals: Totals
    entries: int


def _totals(accounts: list[Account], system: list[tuple[str, str, int]]) -> Totals:
    """By name and commodity, as the operator sees them: with the opposite sign. Nothing is left out."""
    totals: Totals = {}
    for account in accounts:
        start = f"Liabilities:Merchants:{account.merchant}:{account.id}".upper().replace(
            "LIABILITIES:MERCHANTS", "Liabilities:Merchants"
        )
        for bucket, amount in account.buckets.items():
            totals[f"{start}:{CHART[bucket]}", account.currency] = -to_decimal(amount)
    for place, currency, amount in system:
        key = CHART[place], currency
        totals[key] = totals.get(key, Decimal(0)) - to_decimal(amount)
    return {key: total for key, total in totals.items() if total}


async def _tell(url: str) -> Told:
    async with await Database.open(url, create=True) as database:
        calendar = await tell_story(database)
        registry = Registry(database, calendar)
        merchant = (await registry.add_merchant("Large")).id
        books = Books(database, calendar)
        await registry.open_account(merchant, "A1B2", LARGE)
        await books.book(Adjustment(LARGE, Bucket.HOLD, BOUND - 1, "all", "a test"))
        await books.book(Adjustment(LARGE, Bucket.HOLD, -1, "less", "a test"))
        other = await registry.open_account(merchant, "A1B2")
        await books.book(Adjustment(other.id, Bucket.BALANCE, BOUND - 1, "all", "a test"))
        # Nothing was ever booked on it.
        await registry.open_account(merchant, "EUR")
        accounts = await registry.accounts()
        currencies = {account.id: account.currency for account in accounts}
        async with database.read() as connection:
            rows = await connection.execute(sa.select(postings.c.account_id, postings.c.bucket, postings.c.amount))
            system = [(place, currencies[id_], amount) for id_, place, amount in rows if place.startswith("system:")]
            count = await connection.execute(sa.select(sa.func.count()).select_from(journal_entries))
            entries = count.scalar_one()
        texts = {}
        for form in Form:
            out = io.StringIO()
            assert await export(database, form, out) == Exported(5, entries)
            texts[form] = out.getvalue()
    return Told(url, texts, accounts, _totals(accounts, system), entries)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    url = request.getfixturevalue("copy_migrated")(request.param, tmp_path_factory.mktemp("export") / "books.db")
    return asyncio.run(_tell(url))


def in_beancount(text: str) -> tuple[data.Directives, Totals]:
    """The directives, and what beancount itself makes of them."""
    entries, errors, _ = loader.load_string(text)
    assert errors == []
    totals: Totals = {}
    for account in realization.iter_children(realization.realize(entries)):  # type: ignore[no-untyped-call]
        for position in account.balance:
            totals[account.account, position.units.currency] = position.units.number
    return entries, totals


def awkward_payment(entries: data.Directives) -> data.Transaction:
    """The one that was booked two days late, with everything in its texts that has to be quoted."""
    payments = (one for one in entries if isinstance(one, data.Transaction) and one.payee == "payment")
    (found,) = (one for one in payments if one.narration == AWKWARD)
    return found


def test_beancount_comes_to_our_totals(told: Told) -> None:
    """No error, also none of its own balance checks, and the same totals."""
    _, totals = in_beancount(told.texts[Form.BEANCOUNT])
    assert totals == told.totals


def test_beancount_is_told_everything(told: Told) -> None:
    """Each entry is there once, with its id; texts come out as they went in."""
    entries, _ = in_beancount(told.texts[Form.BEANCOUNT])
    booked = [one for one in entries if isinstance(one, data.Transaction | data.Note)]
    assert len({one.meta["id"] for one in booked}) == len(booked) == told.entries
    assert awkward_payment(entries).meta["reason"] == AWKWARD
    assert next(note.comment for note in booked if isinstance(note, data.Note)) == "policy_set terms-1"


def test_beancount_checks_every_total(told: Told) -> None:
    """One unit that is lost on the way is an error there."""
    text = told.texts[Form.BEANCOUNT]
    assert text.count("200.00000001 RUB\n") == 1
    _, errors, _ = loader.load_string(
        text.replace("200.00000001 RUB\n", "200.00000000 RUB\n").replace("-134.70000001 RUB\n", "-134.70000000 RUB\n")
    )
    assert len(errors) == 2
    assert all("Balance failed" in error.message for error in errors)


# hledger


@pytest.fixture
def hledger() -> str:
    found = shutil.which("hledger")
    if found is None:
        reason = "hledger not found; Debian's packages: hledger"
        if os.environ.get("ALIKASSA_REQUIRE_TOOLCHAINS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def in_hledger(hledger: str, text: str, *command: str) -> subprocess.CompletedProcess[str]:
    """With --strict: only accounts and commodities that were declared."""
    return subprocess.run(
        [hledger, "-f", "-", "--strict", *command],
        input=text,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )


def hledger_totals(hledger: str, text: str) -> Totals:
    done = in_hledger(hledger, text, "bal", "-O", "csv", "--no-total")
    assert done.returncode == 0, done.stderr
    totals: Totals = {}
    for row in csv.DictReader(io.StringIO(done.stdout)):
        for amount in row["balance"].split(", "):
            number, _, commodity = amount.partition(" ")
            totals[row["account"], commodity.strip('"')] = Decimal(number)
    return totals


def test_hledger_comes_to_our_totals(told: Told, hledger: str) -> None:
    """Its own balance assertions hold, and the totals are the same, 10^18 less one unit among them."""
    totals = hledger_totals(hledger, told.texts[Form.HLEDGER])
    assert totals == told.totals
    assert Decimal("-999999999999999999.99999999") in totals.values()


def test_hledger_reads_the_tags(told: Told, hledger: str) -> None:
    """References come out as they went in, once commas and percent signs are put back."""
    done = in_hledger(hledger, told.texts[Form.HLEDGER], "print", "-O", "json")
    found = [dict(one["ttags"]) for one in json.loads(done.stdout)]
    references = [tags["reference"].replace("%2C", ",").replace("%25", "%") for tags in found if "reference" in tags]
    rows = [json.loads(line) for line in told.texts[Form.JSONL].splitlines()]
    assert sorted(references) == sorted(row["reference"] for row in rows if row["postings"])
    assert AWKWARD in references


def test_hledger_checks_every_total(told: Told, hledger: str) -> None:
    """One unit that is lost on the way is an error there."""
    text = told.texts[Form.HLEDGER]
    lost = text.replace("200.00000001 RUB\n", "200.00000000 RUB\n").replace(
        "-134.70000001 RUB\n", "-134.70000000 RUB\n"
    )
    done = in_hledger(hledger, lost, "bal")
    assert done.returncode != 0
    assert "assert" in done.stderr


# For programs


def summed(rows: list[dict[str, str]]) -> Totals:
    totals: Totals = {}
    for row in rows:
        account = f"{row['merchant']}:{row['account']}".upper()
        name = CHART[row["bucket"]]
        key = (
            (name if row["bucket"].startswith("system:") else f"Liabilities:Merchants:{account}:{name}"),
            row["currency"],
        )
        totals[key] = totals.get(key, Decimal(0)) - Decimal(row["amount"])
    return {key: total for key, total in totals.items() if total}


def test_csv_comes_to_our_totals(told: Told) -> None:
    """Every entry has a row, and the rows that move money sum to the totals."""
    rows = list(csv.DictReader(io.StringIO(told.texts[Form.CSV])))
    assert len({row["id"] for row in rows}) == told.entries
    assert summed([row for row in rows if row["bucket"]]) == told.totals
    assert {row["reason"] for row in rows if row["reference"] == AWKWARD} == {AWKWARD}


def test_json_lines_come_to_our_totals(told: Told) -> None:
    """One line an entry, amounts as text, metadata as it was given."""
    entries = [json.loads(line) for line in told.texts[Form.JSONL].splitlines()]
    assert len(entries) == told.entries
    assert summed([entry | posting for entry in entries for posting in entry["postings"]]) == told.totals
    assert {"order": AWKWARD, "zone": "ru"} in [entry["metadata"] for entry in entries]
    assert all(isinstance(posting["amount"], str) for entry in entries for posting in entry["postings"])


def test_entries_are_dated_by_their_effect(told: Told) -> None:
    """A payment that was booked two days late is where it belongs."""
    entries, _ = in_beancount(told.texts[Form.BEANCOUNT])
    assert awkward_payment(entries).date == datetime(2026, 2, 27, tzinfo=UTC).date()


# The command line


def test_one_account_goes_into_a_file(told: Told, tmp_path: Path) -> None:
    """Nothing of the others is in it; what was done is told on stderr."""
    file = tmp_path / "books.jsonl"
    done = call(
        *("books", "export", "--format", "jsonl", "--account", str(LARGE), "--output", file), "--database", told.url
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Exported 2 entries of 1 accounts.\n"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(row["account"], row["sequence"]) for row in rows] == [(str(LARGE), number) for number in (1, 2)]


@pytest.mark.parametrize("form", Form)
def test_all_accounts_go_to_stdout(told: Told, form: Form) -> None:
    """The same as from the function."""
    assert call("books", "export", "--format", form, "--database", told.url).stdout == told.texts[form]


def test_a_reader_may_stop_early(told: Told) -> None:
    """As `head` does: that is no error, and nothing was exported."""
    assert len(told.texts[Form.CSV]) > 66_000, "more than a pipe holds"
    with subprocess.Popen(
        [ALIKASSA, "books", "export", "--format", "csv", "--database", told.url],
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"account,merchant,")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_what_cannot_be_exported_is_refused(told: Told, tmp_path: Path) -> None:
    """An account that there is not, a folder that there is not; stdout stays empty."""
    command = ("books", "export", "--format", "hledger", "--database", told.url)
    assert "There is no account" in complaint(REFUSED, *command, "--account", str(uuid.UUID(int=5)))
    assert "cannot be written" in complaint(CONFIGURATION, *command, "--output", tmp_path / "no" / "where")


def test_books_that_are_not_whole_are_not_exported(tmp_path: Path) -> None:
    """What cannot be read would be left out; who would know?"""

    async def run() -> None:
        async with await Database.open(f"sqlite:///{tmp_path / 'books.db'}", create=True) as database:
            await tell_story(database)
            async with database.write() as connection:
                await connection.execute(sa.text("DROP TRIGGER postings_no_update"))
                await connection.execute(
                    sa.text(
                        "UPDATE postings SET bucket = 'pocket' WHERE account_id = :id AND sequence = 4 AND line = 0"
                    ),
                    {"id": str(FIRST)},
                )
            with pytest.raises(DatabaseError, match="entry 4: A row of postings cannot be read"):
                await export(database, Form.CSV, io.StringIO())
            with pytest.raises(NotFoundError):
                await export(database, Form.CSV, io.StringIO(), account=uuid.UUID(int=5))

    asyncio.run(run())
