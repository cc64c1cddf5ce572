"""Books of revision 0001, when only adjustments were booked, go on as books of today."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from alikassa.errors import ConflictError, InsufficientFundsError
from alikassa.ledger import migrate, snapshots
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, PayoutCancel, PayoutPaid, Reversal
from alikassa.ledger.database import Database
from alikassa.ledger.model import Account, Bucket, Kind, PayoutState
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import balance_snapshots, lots, payouts
from alikassa.ledger.verify import verify
from alikassa.money import BOUND, from_units

pytestmark = pytest.mark.anyio

MERCHANT = uuid.UUID("01a20000-0000-7000-8000-000000000001")
#: Several draws in every bucket; the reserve is drawn to nothing, and so are the payouts, which then are filled again.
MANY = uuid.UUID("93d5df06-996c-48c3-9847-348d6b580b80")
MANY_BOOKED = (
    *(("balance", 100), ("balance", -30), ("balance", 5)),
    *(("hold", 50), ("hold", 25), ("hold", -60), ("hold", 10), ("hold", -5)),
    *(("rolling_reserve", 40), ("rolling_reserve", -15), ("rolling_reserve", -25)),
    *(("pending_payouts", 70), ("pending_payouts", -20), ("pending_payouts", -50), ("pending_payouts", 12)),
)
#: As much as there can be, twice.
LARGE = uuid.UUID("b3d5df06-996c-48c3-9847-348d6b580b80")
LARGE_BOOKED = (("hold", BOUND - 1), ("hold", 1 - BOUND), ("hold", BOUND - 1))
#: One payout, still pending.
PENDING = uuid.UUID("a3d5df06-996c-48c3-9847-348d6b580b80")
PENDING_BOOKED = (("pending_payouts", 8),)
#: Its payouts are drawn to nothing and stay so.
DRAWN = uuid.UUID("c3d5df06-996c-48c3-9847-348d6b580b80")
DRAWN_BOOKED = (("pending_payouts", 9), ("pending_payouts", -9))
#: Nothing was ever booked on it.
EMPTY = uuid.UUID("d3d5df06-996c-48c3-9847-348d6b580b80")
BOOKED = {MANY: MANY_BOOKED, PENDING: PENDING_BOOKED, LARGE: LARGE_BOOKED, DRAWN: DRAWN_BOOKED, EMPTY: ()}
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
REASON = 'by hand\\, "as ever"; ключ'


def old_command(account: uuid.UUID, bucket: str, amount: int, number: int) -> Adjustment:
    return Adjustment(account, Bucket(bucket), amount, f"adj-{number}", REASON)


def old_content(bucket: str, amount: int) -> bytes:
    """As the first revision hashed what the caller said: each field with its length before it."""
    fields = [text.encode() for text in (bucket, str(amount), REASON)]
    return hashlib.sha256(b"".join(len(one).to_bytes(8, "big") + one for one in fields)).digest()


class Writer:
    """Raw SQL of the first revision."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._typed = connection.dialect.name == "postgresql"

    def insert(self, table: str, **values: Any) -> None:
        names = ", ".join(values)
        marks = ", ".join(f"${n}" if self._typed else "?" for n in range(1, len(values) + 1))
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        self._connection.exec_driver_sql(statement, tuple(map(self._value, values.values())))

    def _value(self, value: Any) -> Any:
        match value:
            case Decimal() if not self._typed:
                return format(value, ".8f")
            case datetime() if not self._typed:
                return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            case uuid.UUID() if not self._typed:
                return str(value)
        return value


def make_old(connection: sa.Connection) -> None:
    """A database of revision 0001, with accounts and adjustments in it."""
    scripts = ScriptDirectory(str(migrate._MIGRATIONS))
    config = Config()
    config.attributes["connection"] = connection

    def upgrade(revision: Any, _: object) -> Any:
        return scripts._upgrade_revs("0001", revision)

    with EnvironmentContext(config, scripts, fn=upgrade, destination_rev="0001"):
        scripts.run_env()
    writer = Writer(connection)
    writer.insert("merchants", id=MERCHANT, name="Shop", created_at=START)
    for account, booked in BOOKED.items():
        _open(writer, account, booked)


def _amount(units: int) -> Decimal:
    return Decimal(from_units(units))


def _open(writer: Writer, account: uuid.UUID, booked: Sequence[tuple[str, int]]) -> None:
    totals = {bucket.value: _amount(sum(amount for name, amount in booked if name == bucket)) for bucket in Bucket}
    key = {"lane": account.int % 64}
    times = [START + timedelta(hours=number) for number in range(len(booked))]
    end = {"sequence": len(booked), "recorded_at": times[-1] if times else None, "opened_at": START}
    writer.insert("accounts", **key, id=account, merchant_id=MERCHANT, currency="RUB", **totals, **end)
    key["account_id"] = account  # type: ignore[assignment]
    for number, ((bucket, amount), moment) in enumerate(zip(booked, times, strict=True), 1):
        said = {"kind": "adjustment", "reference": f"adj-{number}", "reason": REASON}
        told = {"content": old_content(bucket, amount), "lines": 2, "effective_at": moment, "recorded_at": moment}
        writer.insert("journal_entries", **key, sequence=number, id=uuid.uuid4(), **said, **told)
        for line, (place, units) in enumerate(((bucket, amount), ("system:adjustments", -amount))):
            writer.insert("postings", **key, sequence=number, line=line, bucket=place, amount=_amount(units))


@pytest.fixture
async def database(database_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Made by the first revision, and brought up to date. Snapshots of balances are closer together than in life."""
    monkeypatch.setattr(snapshots, "EVERY", 4)
    old = Database.attach(database_url)
    old.address.find_file(create=True)
    async with old.write() as connection:
        await connection.run_sync(make_old)
    await old.close()
    async with await Database.open(database_url, migrate=True) as opened:
        yield opened


async def account_of(database: Database, account: uuid.UUID) -> Account:
    return next(one for one in await Registry(database).accounts() if one.id == account)


async def test_the_books_are_true_and_stand_as_before(database: Database) -> None:
    """Everything is found in order, and every account has what it had."""
    found = await verify(database)
    assert found.problems == ()
    assert (found.accounts, found.entries, found.chains) == (5, 21, 5)
    balances = {one.id: tuple(one.buckets.values()) for one in await Registry(database).accounts()}
    assert balances == {
        MANY: (75, 20, 0, 12),
        PENDING: (0, 0, 0, 8),
        LARGE: (0, BOUND - 1, 0, 0),
        DRAWN: (0, 0, 0, 0),
        EMPTY: (0, 0, 0, 0),
    }


async def test_what_was_held_is_one_lot_a_bucket(database: Database) -> None:
    """By hand, due never, named by the adjustment that came first; with all that was ever put into it."""
    async with database.read() as connection:
        here = lots.c.account_id == MANY
        held = (lots.c.bucket, lots.c.source, lots.c.due_at, lots.c.amount, lots.c.remaining, lots.c.open)
        found = await connection.execute(sa.select(*held).where(here).order_by(lots.c.bucket))
        assert [tuple(row) for row in found] == [
            ("hold", "adj-4", None, 85, 20, True),
            ("rolling_reserve", "adj-9", None, 40, 0, False),
        ]
        pending = (payouts.c.reference, payouts.c.amount, payouts.c.by_hand, payouts.c.state, payouts.c.state_sequence)
        found = await connection.execute(sa.select(*pending).order_by(payouts.c.account_id))
        assert [tuple(row) for row in found] == [
            ("adj-12", 12, True, "pending", 15),
            ("adj-1", 8, True, "pending", 1),
            ("adj-1", 0, True, "cancelled", 2),
        ]


async def test_the_past_has_its_snapshots(database: Database) -> None:
    """What the accounts stood at after every fourth of their entries, and when that was recorded."""
    async with database.read() as connection:
        found = await connection.execute(sa.select(balance_snapshots).order_by(balance_snapshots.c.sequence))
        assert [tuple(row)[1:] for row in found] == [
            (MANY, 4, START + timedelta(hours=3), 75, 50, 0, 0),
            (MANY, 8, START + timedelta(hours=7), 75, 20, 0, 0),
            (MANY, 12, START + timedelta(hours=11), 75, 20, 0, 70),
        ]


async def test_references_are_still_claimed(database: Database) -> None:
    """Every adjustment, told again, is the one that was booked; told otherwise, it is a conflict."""
    books = Books(database)
    for number, (bucket, amount) in enumerate(MANY_BOOKED, 1):
        booked = await books.book(old_command(MANY, bucket, amount, number))
        assert (booked.repeated, booked.entry.sequence) == (True, number)
        with pytest.raises(ConflictError):
            await books.book(old_command(MANY, bucket, amount + 1, number))
    assert (await account_of(database, MANY)).sequence == len(MANY_BOOKED)


async def test_draws_go_on(database: Database) -> None:
    """All that is left of a bucket can be drawn, and no more; then it can be filled again."""
    books = Books(database)
    for bucket, left in ((Bucket.BALANCE, 75), (Bucket.HOLD, 20), (Bucket.PENDING_PAYOUTS, 12)):
        with pytest.raises(InsufficientFundsError):
            await books.book(Adjustment(MANY, bucket, -left - 1, f"too much {bucket}", "a test"))
        await books.book(Adjustment(MANY, bucket, -left, f"all {bucket}", "a test"))
    assert set((await account_of(database, MANY)).buckets.values()) == {0}
    for bucket in Bucket:
        await books.book(Adjustment(MANY, bucket, 3, f"new {bucket}", "a test"))
        await books.book(Adjustment(MANY, bucket, -1, f"less {bucket}", "a test"))
    assert set((await account_of(database, MANY)).buckets.values()) == {2}
    assert (await verify(database)).problems == ()


async def test_what_was_booked_can_be_undone(database: Database) -> None:
    """A draw of long ago goes back to where it came from, also where more was held since than ever at once before."""
    books = Books(database)
    for number, left in ((6, 80), (8, 85), (7, 75)):
        booked = await books.book(Reversal(MANY, Kind.ADJUSTMENT, f"adj-{number}", f"undo {number}", "a slip"))
        assert booked.account.buckets[Bucket.HOLD] == left
    for number, left in ((14, 62), (13, 82), (15, 70)):
        booked = await books.book(Reversal(MANY, Kind.ADJUSTMENT, f"adj-{number}", f"undo {number}", "a slip"))
        assert booked.account.buckets[Bucket.PENDING_PAYOUTS] == left
    await books.book(Reversal(DRAWN, Kind.ADJUSTMENT, "adj-2", "undo", "a slip"))
    assert (await verify(database)).problems == ()


async def test_payouts_by_hand_become_final(database: Database) -> None:
    """What was pending is a payout like any other."""
    books = Books(database)
    await books.book(PayoutPaid(MANY, "adj-12"))
    booked = await books.book(PayoutCancel(PENDING, "adj-1"))
    assert booked.account.buckets[Bucket.BALANCE] == 8
    assert (await account_of(database, MANY)).buckets[Bucket.PENDING_PAYOUTS] == 0
    async with database.read() as connection:
        states = await connection.execute(sa.select(payouts.c.account_id, payouts.c.state))
        assert {row.account_id: row.state for row in states} == {
            MANY: PayoutState.PAID,
            PENDING: PayoutState.CANCELLED,
            DRAWN: PayoutState.CANCELLED,
        }
    assert (await verify(database)).problems == ()


async def test_the_guards_are_back(database: Database) -> None:
    """What rested while the old entries were given lots and hashes is in force again."""
    async with database.write() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO policies SELECT lane, account_id, 1, 1, amount, amount, amount, 1, amount, 1, 'gross',"
                " 'UTC', 'payment' FROM lots LIMIT 1"
            )
        )
        for table in ("journal_entries", "postings", "lots", "payouts", "policies"):
            for statement in ("UPDATE {} SET sequence = sequence", "DELETE FROM {}"):
                with pytest.raises(DBAPIError, match="immutable"):
                    async with connection.begin_nested():
                        await connection.execute(sa.text(statement.format(table)))
