"""Opening balances from a file: all of them with every held sum, or none, with every problem told."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from alikassa.errors import InvalidInputError
from alikassa.ledger import import_files
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.import_files import read_openings
from alikassa.ledger.imports import ImportProblemsError, import_openings
from alikassa.ledger.model import BUCKETS, Bucket
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts, journal_entries, lots, payouts
from alikassa.money import to_units
from command_line import USAGE, call, complaint, printed
from crash_checks import check_verified

pytestmark = pytest.mark.anyio

SHOP, OTHER, THIRD = (uuid.UUID(int=(0xA << 124) + (0x4 << 76) + (0x8 << 62) + n) for n in range(3))
UNKNOWN = uuid.UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)

#: As a bookkeeper writes it down.
CSV = f"""account,item,amount,due_at,reference,fee
{SHOP},balance,93.84,,,
{SHOP},hold,10.50,2026-04-01,order-17,
{SHOP},hold,4.5,,,
{SHOP},rolling_reserve,100,2026-08-01T12:30:00+03:00,order-17,
{SHOP},payout,1000,,payout-1,2.50
{SHOP},payout,234,,payout-2,
{SHOP},hold_total,15,,,
{SHOP},pending_payouts_total,1234,,,
{OTHER},balance,-5,,,
"""
JSON = {
    "accounts": [
        {
            "account": str(SHOP),
            "balance": "93.84",
            "hold": "15",
            "rolling_reserve": "100",
            "pending_payouts": "1234",
            "lots": [
                {"bucket": "hold", "amount": "10.50", "due_at": "2026-04-01", "source": "order-17"},
                {"bucket": "hold", "amount": "4.5"},
                {
                    "bucket": "rolling_reserve",
                    "amount": "100",
                    "due_at": "2026-08-01T09:30:00Z",
                    "source": "order-17",
                },
            ],
            "payouts": [
                {"reference": "payout-1", "amount": "1000", "fee": "2.50"},
                {"reference": "payout-2", "amount": "234"},
            ],
        },
        {"account": str(OTHER), "balance": "-5", "hold": "0", "rolling_reserve": "0", "pending_payouts": "0"},
    ]
}
FORMS = {
    "csv": CSV,
    "semicolons": "\ufeff" + CSV.replace(",", ";").replace("\n", "\r\n"),
    "columns": CSV.replace("due_at,reference,fee", "reference,due_at,fee")
    .replace("2026-04-01,order-17", "order-17,2026-04-01")
    .replace("2026-08-01T12:30:00+03:00,order-17", "order-17,2026-08-01T12:30:00+03:00")
    .replace(",,payout-1,2.50", ",payout-1,,2.50")
    .replace(",,payout-2,", ",payout-2,,"),
    "json": json.dumps(JSON),
}


def now() -> datetime:
    return NOW


@pytest.fixture
async def database(migrated_sqlite_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """Books with three accounts that nothing is booked on, on SQLite: most of this is decided before any statement."""
    async with await Database.open(migrated_sqlite_url) as opened:
        await open_accounts(opened)
        yield opened


@pytest.fixture
async def either(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """As `database`, on each engine in turn."""
    async with await Database.open(migrated_url) as opened:
        await open_accounts(opened)
        yield opened


async def open_accounts(database: Database) -> None:
    registry = Registry(database)
    merchant = await registry.add_merchant("Shop")
    for account in (SHOP, OTHER, THIRD):
        await registry.open_account(merchant.id, "RUB", account)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "opening"
    file.write_text(CSV, newline="")
    return file


async def numbers(database: Database) -> dict[uuid.UUID, list[int]]:
    async with database.read() as connection:
        rows = await connection.execute(sa.select(accounts))
        return {row.id: [getattr(row, bucket.value) for bucket in BUCKETS] for row in rows}


async def entries(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(journal_entries))).scalar_one()


async def refused(database: Database, file: Path, text: str) -> dict[str, tuple[str, ...]]:
    """The problems of a file with this text, of which nothing was booked."""
    file.write_text(text, newline="")
    before = await entries(database)
    with pytest.raises(ImportProblemsError) as caught:
        await import_openings(database, file, reference="old books", now=now)
    assert await entries(database) == before
    return caught.value.errors


def problems_of(file: Path, text: str) -> dict[str, list[str]]:
    """What is wrong with a file with this text, by itself."""
    file.write_text(text, newline="")
    return read_openings(file, "old books")[1].found


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_brings_the_same(database: Database, file: Path, form: str) -> None:
    """The four numbers, the held sums with their due times and sources, and the payouts with their fees."""
    file.write_text(FORMS[form], newline="")
    imported = await import_openings(database, file, reference="old books", now=now)
    assert (imported.booked, imported.repeated) == (2, 0)
    shop = [to_units(one) for one in ("93.84", "15", "100", "1234")]
    assert await numbers(database) == {SHOP: shop, OTHER: [to_units("-5"), 0, 0, 0], THIRD: [0, 0, 0, 0]}
    async with database.read() as connection:
        held = await connection.execute(sa.select(lots.c.bucket, lots.c.amount, lots.c.due_at, lots.c.source))
        assert sorted(held.all(), key=str) == sorted(
            [
                ("hold", to_units("10.50"), datetime(2026, 4, 1, tzinfo=UTC), "order-17"),
                ("hold", to_units("4.5"), None, "old books"),
                ("rolling_reserve", to_units("100"), datetime(2026, 8, 1, 9, 30, tzinfo=UTC), "order-17"),
            ],
            key=str,
        )
        pending = await connection.execute(sa.select(payouts.c.reference, payouts.c.amount, payouts.c.fee))
        assert sorted(pending) == [
            ("payout-1", to_units("1000"), to_units("2.50")),
            ("payout-2", to_units("234"), 0),
        ]
    await check_verified(database)


async def test_the_totals_are_told(database: Database, file: Path) -> None:
    """What the file brings a currency, for whoever compares it with the old books."""
    imported = await import_openings(database, file, reference="old books", dry_run=True, now=now)
    (total,) = imported.totals
    assert (total.currency, total.accounts, total.lots, total.payouts) == ("RUB", 2, 3, 2)
    assert list(total.buckets.values()) == [to_units(one) for one in ("88.84", "15", "100", "1234")]


async def test_a_dry_run_books_nothing(database: Database, file: Path) -> None:
    """It only reads."""
    await import_openings(database, file, reference="old books", dry_run=True, now=now)
    assert await entries(database) == 0


async def test_repeated_it_changes_nothing(either: Database, file: Path) -> None:
    """With the same reference the same file is found booked, also when others were booked since."""
    await import_openings(either, file, reference="old books", now=now)
    await Books(either, now).book(Adjustment(SHOP, Bucket.BALANCE, 1, "since", "a test"))
    before = await entries(either)
    again = await import_openings(either, file, reference="old books", now=now)
    assert (again.booked, again.repeated) == (0, 2)
    assert await entries(either) == before


async def test_an_account_that_was_added_to_the_file_is_booked_alone(database: Database, file: Path) -> None:
    """What was booked before stays as it is."""
    await import_openings(database, file, reference="old books", now=now)
    file.write_text(f"{CSV}{THIRD},balance,7,,,\n")
    again = await import_openings(database, file, reference="old books", now=now)
    assert (again.booked, again.repeated) == (1, 2)
    assert (await numbers(database))[THIRD] == [to_units("7"), 0, 0, 0]


async def test_it_takes_effect_when_it_is_said_to(either: Database, file: Path) -> None:
    """Effective in the past; recorded now."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await import_openings(either, file, reference="old books", effective_at=at, now=now)
    async with either.read() as connection:
        found = await connection.execute(
            sa.select(journal_entries.c.effective_at, journal_entries.c.recorded_at).distinct()
        )
        assert found.all() == [(at, NOW)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{SHOP},hold,0,,,", "above 0"),
        (f"{SHOP},hold,-1,,,", "above 0"),
        (f"{SHOP},hold,1e3,,,", "not an amount"),
        (f"{SHOP},hold,1.000000001,,,", "9 decimals"),
        (f"{SHOP},hold,1,2026-13-01,,", "neither a date nor a time"),
        (f"{SHOP},hold,1,2026-01-01T12:00,,", "neither a date nor a time with its zone"),
        (f"{SHOP},hold,1,,,5", "no fee"),
        (f"{SHOP},balance,1,,,", "balance already"),
        (f"{SHOP},hold_total,15,,,", "hold_total already"),
        (f"{SHOP},payout,1,,,", "reference"),
        (f"{SHOP},payout,1,,payout-1,", "already"),
        (f"{SHOP},payout,1,2026-01-01,payout-3,", "no due_at"),
        (f"{SHOP},payout,1,,payout-3,-1", "fee"),
        (f"{SHOP},deposit,1,,,", "no item"),
        (f"{SHOP},hold,1", "3 columns"),
        ("17,hold,1,,,", "uuid"),
        (f'{SHOP},hold,"1,,,', "not CSV"),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_line(file: Path, line: str, text: str) -> None:
    """Line 11, where it stands, and what is wrong with it."""
    assert text in " ".join(problems_of(file, f"{CSV}{line}\n")["line 11"])


async def test_every_problem_is_told(database: Database, file: Path) -> None:
    """Wrong rows, a total that is not the sum, a missing balance and an unknown account, all at once."""
    text = (
        CSV.replace("hold_total,15", "hold_total,16").replace("10.50", "10.5O").replace("234", "-234")
        + f"{THIRD},hold,5,,,\n{UNKNOWN},balance,0,,,\n"
    )
    problems = await refused(database, file, text)
    assert set(problems) == {"line 3", "line 7", "line 8", "line 9", "line 11", "line 12"}
    assert "no row for its balance" in problems["line 11"][0]
    assert "There is no account" in problems["line 12"][0]


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("balance",), 93.84, "accounts[0]"),
        (("balance",), "93,84", "accounts[0].balance"),
        (("hold",), "16", "accounts[0]"),
        (("lots", 1, "amount"), "0", "accounts[0].lots[1]"),
        (("lots", 1, "bucket"), "balance", "accounts[0]"),
        (("lots", 0, "due"), "2026-04-01", "accounts[0]"),
        (("payouts", 1, "reference"), "payout-1", "accounts[0].payouts[1]"),
        (("account",), str(OTHER), "accounts[1]"),
    ],
)
def test_a_record_that_is_wrong_is_told_with_its_place(
    file: Path, path: tuple[str | int, ...], value: object, where: str
) -> None:
    """The account's place in the file, and within it the held sum's or the payout's."""
    changed = json.loads(json.dumps(JSON))
    place = changed["accounts"][0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert list(problems_of(file, json.dumps(changed))) == [where]


@pytest.mark.parametrize("text", ["account,item\n", '{"accounts": 1}', "{", "[]", "a,b,c\n1,2,3"])
def test_what_is_no_such_file_is_refused(file: Path, text: str) -> None:
    """Neither form is made out of something else."""
    assert problems_of(file, text)


@pytest.mark.parametrize("text", ["account,item,amount\n", '{"accounts": []}'])
async def test_a_file_without_accounts_is_refused(database: Database, file: Path, text: str) -> None:
    """Whoever imports nothing has taken the wrong file."""
    assert "names no account" in (await refused(database, file, text))["the file"][0]


async def test_accounts_with_entries_take_no_opening(either: Database, file: Path) -> None:
    """Money was booked on one, another has this reference with other numbers: both are told, nothing is booked."""
    books = Books(either, now)
    await books.book(Adjustment(SHOP, Bucket.BALANCE, 1, "first", "a test"))
    file.write_text(f"account,item,amount\n{OTHER},balance,1\n")
    await import_openings(either, file, reference="old books", now=now)
    problems = await refused(either, file, CSV)
    assert "has entries already" in problems["line 2"][0]
    assert "with other numbers" in problems["line 10"][0]


def test_a_file_that_is_too_large_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size, before it is taken apart."""
    monkeypatch.setattr(import_files, "LARGEST", len(CSV.encode()) - 1)
    with pytest.raises(InvalidInputError, match="larger than"):
        read_openings(file, "old books")


async def test_ten_thousand_held_sums_and_payouts_are_taken_and_no_more(either: Database, file: Path) -> None:
    """On one account, beside another; one more is a problem of that account's."""
    rows = [f"{account},balance,0" for account in (SHOP, OTHER)]
    rows += [f"{account},payout,1,p{n}" for account, most in ((SHOP, 10_000), (OTHER, 1000)) for n in range(most)]
    header = "account,item,amount,reference\n"
    text = header + "\n".join(f"{row}," if row.endswith(",0") else row for row in rows)
    assert list(await refused(either, file, f"{text}\n{SHOP},hold,1,")) == ["line 2"]
    file.write_text(text)
    await import_openings(either, file, reference="old books", now=now)
    assert (await numbers(either))[SHOP] == [0, 0, 0, to_units("10000")]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read_is_refused(file: Path, content: bytes | None) -> None:
    """Not UTF-8, or not there."""
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(InvalidInputError):
        read_openings(file, "old books")


# The command


@pytest.fixture
def books_url(sqlite_url: str) -> str:
    async def prepare() -> None:
        async with await Database.open(sqlite_url, create=True) as opened:
            await open_accounts(opened)

    asyncio.run(prepare())
    return sqlite_url


def test_the_command_imports(books_url: str, file: Path) -> None:
    """Checked first, then booked, then found booked."""
    command = ("books", "import", file, "--reference", "old books", "--database", books_url)
    done = call(*command, "--dry-run")
    assert done.stderr == "The file is good. Nothing was booked.\n"
    assert "88.84000000" in done.stdout
    assert printed(*command)["booked"] == 2
    assert printed(*command)["repeated"] == 2


def test_the_command_takes_no_time_without_its_zone(books_url: str, file: Path) -> None:
    """Whose noon it was has to be said."""
    command = ("books", "import", file, "--reference", "r", "--database", books_url)
    assert "a time with its zone" in complaint(USAGE, *command, "--effective-at", "2026-01-01T12:00")


def test_the_command_tells_the_problems_line_by_line(books_url: str, file: Path) -> None:
    """One line each, and what to do."""
    file.write_text(f"{CSV}17,hold,1,,,\n{SHOP},hold,0,,,\n")
    done = call("books", "import", file, "--reference", "old books", "--database", books_url)
    assert done.returncode == USAGE
    assert done.stderr.splitlines()[:3] == [
        "error: Nothing was booked: the file has 2 problems.",
        "  line 11: '17' is not the uuid of an account.",
        "  line 12: The amount is 0.00000000. Write an amount above 0.",
    ]
