"""Sweeping is housekeeping: whoever reads or books cannot tell whether it was done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from alikassa.errors import InsufficientFundsError
from alikassa.ledger import loading
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, PayoutCreate, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Kind
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts, journal_entries, lots
from alikassa.ledger.sweeping import Swept, sweep
from command_line import call, printed

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DUE = START + timedelta(days=5)
#: Of 1000 units 300 are held for five days and 700 may be spent at once.
POLICY = Policy(hold_percent=30 * 10**8, hold_days=5)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(migrated_sqlite_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """On SQLite: most of this is decided before any statement."""
    async with await Database.open(migrated_sqlite_url) as opened:
        yield opened


@pytest.fixture
async def either(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """On each engine in turn."""
    async with await Database.open(migrated_url) as opened:
        yield opened


async def open_accounts(database: Database, count: int = 1) -> list[uuid.UUID]:
    before = START - timedelta(hours=1)
    registry, books = Registry(database, lambda: before), Books(database, lambda: before)
    merchant = await registry.add_merchant("Shop")
    opened = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(count)]
    await books.book_together([SetPolicy(account, POLICY, "terms") for account in opened])
    return opened


async def kinds(database: Database, account: uuid.UUID) -> list[str]:
    """What was booked on the account, in order."""
    entry = journal_entries.c
    async with database.read() as connection:
        found = await connection.scalars(
            sa.select(entry.kind).where(entry.account_id == account).order_by(entry.sequence)
        )
        return list(found)


async def stands(database: Database, account: uuid.UUID) -> tuple[list[int], datetime | None]:
    """The four numbers as they are written, and when something is due."""
    async with database.read() as connection:
        row = (await connection.execute(sa.select(accounts).where(accounts.c.id == account))).one()
    return [getattr(row, bucket.value) for bucket in BUCKETS], row.next_due_at


async def test_what_is_due_is_spendable_without_a_sweep(either: Database, clock: Clock) -> None:
    """At the microsecond at which it is due, and not before it, a payout may take the held sum too."""
    (account,) = await open_accounts(either)
    books = Books(either, clock)
    await books.book(Payment(account, 1000, "sold"))
    clock.moment = DUE - timedelta(microseconds=1)
    with pytest.raises(InsufficientFundsError):
        await books.book(PayoutCreate(account, 1000, "out"))
    clock.moment = DUE
    await books.book(PayoutCreate(account, 1000, "out"))
    assert await kinds(either, account) == ["policy_set", "payment", "release", "payout_created"]


async def test_answers_are_the_same_swept_or_not(database: Database, clock: Clock) -> None:
    """Two accounts have the same history, with sweeps between one and the other: the four numbers are the same."""
    left, right = await open_accounts(database, 2)
    books = Books(database, clock)
    for step in range(12):
        clock.moment = START + timedelta(days=step, hours=step)
        if step % 2:
            await sweep(database, clock)  # before the one of the two that comes first
        answers = []
        for account in (left, right) if step % 4 < 2 else (right, left):
            if step % 3 == 2:
                command: Payment | Refund = Refund(account, f"sold-{step - 1}", 400, f"back-{step}")
            else:
                command = Payment(account, 1000 + step, f"sold-{step}")
            answers.append((await books.book(command)).account.buckets)
            if step % 3 == 1 and account == left:
                await sweep(database, clock)
        assert answers[0] == answers[1]
    assert await kinds(database, left) == await kinds(database, right)


async def test_a_sweep_releases_what_is_due_and_nothing_else(database: Database, clock: Clock) -> None:
    """Two of three payments' held sums are due; it says so, and the third one's time is what is waited for."""
    (account,) = await open_accounts(database)
    books = Books(database, clock)
    for day in range(3):
        clock.moment = START + timedelta(days=day)
        await books.book(Payment(account, 1000, f"sold-{day}"))
    clock.moment = DUE + timedelta(days=1)
    assert await sweep(database, clock) == Swept(accounts=1, lots=2)
    assert await stands(database, account) == ([2700, 300, 0, 0], DUE + timedelta(days=2))


async def test_sweeping_twice_does_nothing(database: Database, clock: Clock) -> None:
    """The second one books no entry."""
    (account,) = await open_accounts(database)
    await Books(database, clock).book(Payment(account, 1000, "sold"))
    clock.moment = DUE
    await sweep(database, clock)
    before = await kinds(database, account)
    assert before[-1] == Kind.RELEASE
    assert await sweep(database, clock) == Swept(accounts=0, lots=0)
    assert await kinds(database, account) == before


@pytest.mark.parametrize("swept", [True, False])
async def test_more_due_sums_than_one_batch_takes(
    either: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, swept: bool
) -> None:
    """All of them are released before the command is decided, on this account and on others of the batch."""
    monkeypatch.setattr(loading, "MOST_DUE", 4)
    opened = await open_accounts(either, 3)
    books = Books(either, clock)
    for day in range(11):
        clock.moment = START + timedelta(hours=day)
        await asyncio.gather(*(books.book(Payment(account, 1000, f"sold-{day}")) for account in opened))
    clock.moment = START + timedelta(days=20)
    if swept:
        assert await sweep(either, clock) == Swept(accounts=3, lots=33)
    await asyncio.gather(*(books.book(PayoutCreate(account, 11_000, "all")) for account in opened))
    for account in opened:
        assert await stands(either, account) == ([0, 0, 0, 11_000], None)
        assert (await kinds(either, account))[-1] == Kind.PAYOUT_CREATED


async def test_a_due_time_that_is_stale_is_put_right(either: Database, clock: Clock) -> None:
    """A held sum was gone before it was due: the sweep releases nothing, notes when to look next, and ends."""
    (account,) = await open_accounts(either)
    books = Books(either, clock)
    await books.book(Payment(account, 1000, "sold"))
    await books.book(Refund(account, "sold", 300, "back"))
    clock.moment = START + timedelta(days=2)
    await books.book(Payment(account, 1000, "sold later"))
    assert (await stands(either, account))[1] == DUE  # too early: that sum is gone
    before = await kinds(either, account)
    clock.moment = DUE + timedelta(days=1)
    assert await asyncio.wait_for(sweep(either, clock), 5) == Swept(accounts=0, lots=0)
    assert await kinds(either, account) == before
    assert (await stands(either, account))[1] == DUE + timedelta(days=2)


async def test_what_is_due_at_once_does_not_hide_what_is_due_later(either: Database, clock: Clock) -> None:
    """A payment of long ago, whose held sum is released by the next command of its batch, on an account that waits
    for another sum: that one is released in its time."""
    (account,) = await open_accounts(either)
    books = Books(either, clock)
    await books.book(Payment(account, 1000, "sold"))
    clock.moment = DUE - timedelta(days=1)
    old = Payment(account, 1000, "old", effective_at=START - timedelta(days=30))
    await asyncio.gather(books.book(old), books.book(PayoutCreate(account, 1, "in the same batch")))
    clock.moment = DUE
    await books.book(PayoutCreate(account, 1999, "all"))
    assert (await stands(either, account))[0] == [0, 0, 0, 2000]


async def test_every_account_is_swept(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """More accounts than are looked for at once."""
    monkeypatch.setattr("alikassa.ledger.books._SWEPT_TOGETHER", 3)
    opened, books = await open_accounts(database, 8), Books(database, clock)
    await asyncio.gather(*(books.book(Payment(account, 1000, "sold")) for account in opened))
    clock.moment = DUE
    assert await sweep(database, clock) == Swept(accounts=8, lots=8)
    async with database.read() as connection:
        assert not list(await connection.scalars(sa.select(lots.c.account_id).where(lots.c.open)))


def test_the_command_says_what_it_released(sqlite_url: str) -> None:
    """How many sums of how many accounts, and then that nothing is due."""

    async def prepare() -> None:
        async with await Database.open(sqlite_url, create=True) as opened:
            books = Books(opened)
            for account in await open_accounts(opened, 2):
                await books.book(Payment(account, 1000, "sold", effective_at=START))

    asyncio.run(prepare())
    assert printed("books", "sweep", "--database", sqlite_url) == {"accounts": 2, "lots": 2}
    done = call("books", "sweep", "--database", sqlite_url)
    assert (done.stdout, done.stderr) == ("", "Nothing was due.\n")
