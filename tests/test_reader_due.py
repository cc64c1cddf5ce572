"""Due means released: a balance read counts what is due, whether the books have released it yet or not."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alikassa.ledger import due_amounts, reader_sqlite
from alikassa.ledger.books import Books
from alikassa.ledger.commands import ClosePeriod, Fee, Payment, PayoutCreate, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Account
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import AccountReader, reader_for
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE, to_units

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# 2.9 % + 10, hold 20 % for 2 days, reserve 5 % for 30 days: of 1000, 39 + 200 + 50, and 711 to spend.
POLICY = Policy(
    fee_percent=to_units("2.9"),
    fee_fixed=10 * SCALE,
    hold_percent=20 * SCALE,
    hold_days=2,
    reserve_percent=5 * SCALE,
    reserve_days=30,
)
INSTANT = timedelta(microseconds=1)


class MovingClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def time() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


@pytest.fixture
async def books(database: Database, time: MovingClock) -> Books:
    return Books(database, time)


@pytest.fixture
async def account(database: Database, books: Books) -> Account:
    registry = Registry(database)
    merchant = await registry.add_merchant("Shop")
    opened = await registry.open_account(merchant.id, "RUB")
    await books.book(SetPolicy(opened.id, POLICY, "terms"))
    await books.book(Payment(opened.id, 1000 * SCALE, "p1", effective_at=START))
    return opened


@pytest.fixture
async def reader(database: Database, time: MovingClock) -> AsyncIterator[AccountReader]:
    opened = reader_for(database, time)
    yield opened
    await opened.close()


async def read(reader: AccountReader, account: Account) -> tuple[str, str, str]:
    """Balance, hold and reserve, without the decimals that are all zero here."""
    found = await reader.find(str(account.id))
    assert found is not None
    amounts = (found.balance, found.hold, found.rolling_reserve)
    assert all(amount.endswith(".00000000") for amount in amounts)
    return tuple(amount.removesuffix(".00000000") for amount in amounts)  # type: ignore[return-value]


async def test_what_is_due_is_in_the_balance_from_that_instant_on(
    reader: AccountReader, account: Account, time: MovingClock
) -> None:
    """Held until two days have passed, to the microsecond; then spendable though nobody has swept."""
    assert await read(reader, account) == ("711", "200", "50")
    time.at = START + timedelta(days=2) - INSTANT
    assert await read(reader, account) == ("711", "200", "50")
    time.at += INSTANT
    assert await read(reader, account) == ("911", "0", "50")
    time.at = START + timedelta(days=30) - INSTANT
    assert await read(reader, account) == ("911", "0", "50")
    time.at += INSTANT
    assert await read(reader, account) == ("961", "0", "0")


async def test_a_clock_that_is_set_back_shows_what_was_shown_then(
    reader: AccountReader, account: Account, time: MovingClock
) -> None:
    """What was summed up for a later moment is not given for an earlier one."""
    time.at = START + timedelta(days=31)
    assert await read(reader, account) == ("961", "0", "0")
    time.at = START + timedelta(days=3)
    assert await read(reader, account) == ("911", "0", "50")
    time.at = START
    assert await read(reader, account) == ("711", "200", "50")


async def test_a_new_entry_is_seen_though_more_is_due(
    reader: AccountReader, account: Account, books: Books, time: MovingClock, database: Database
) -> None:
    """An entry changes the sums that are remembered; here one booked by a clock that lags, which releases nothing."""
    time.at = START + timedelta(days=2)
    assert await read(reader, account) == ("911", "0", "50")
    lagging = Books(database, lambda: START + timedelta(hours=1))
    await lagging.book(Refund(account.id, "p1", 30 * SCALE, "r1"))
    assert await read(reader, account) == ("881", "0", "50")
    await books.book(Fee(account.id, 881 * SCALE, "all of it", "a test"))
    assert await read(reader, account) == ("0", "0", "50")


async def test_the_four_numbers_are_of_one_moment(
    reader: AccountReader, account: Account, time: MovingClock, database: Database
) -> None:
    """What waits in payouts belongs to the same state of the books as the balance that is summed up with it."""
    time.at = START + timedelta(days=2)
    lagging = Books(database, lambda: START + timedelta(hours=1))
    for number in range(1, 4):
        await lagging.book(PayoutCreate(account.id, 100 * SCALE, f"out-{number}"))
        found = await reader.find(str(account.id))
        assert found is not None
        assert to_units(found.balance) == (911 - 100 * number) * SCALE
        assert to_units(found.pending_payouts) == 100 * number * SCALE


async def test_a_sweep_changes_nothing_that_is_read(
    reader: AccountReader, account: Account, books: Books, time: MovingClock
) -> None:
    """Swept or not, the answer is the same."""
    time.at = START + timedelta(days=40)
    before = await read(reader, account)
    assert await books.sweep() == 1
    assert await read(reader, account) == before == ("961", "0", "0")


async def test_an_old_payment_is_due_as_soon_as_it_is_booked(
    reader: AccountReader, account: Account, books: Books, time: MovingClock
) -> None:
    """A payment booked late, when its hold and reserve would have come back already, holds nothing that is read."""
    long_ago = START - timedelta(days=40)
    await books.book(Payment(account.id, 1000 * SCALE, "p0", effective_at=long_ago))
    assert await read(reader, account) == (str(711 + 961), "200", "50")
    await books.book(ClosePeriod(account.id, START, "closed"))
    assert await read(reader, account) == (str(711 + 961), "200", "50")


async def test_accounts_that_are_read_together_get_their_own(
    reader: AccountReader, account: Account, books: Books, database: Database, time: MovingClock
) -> None:
    """One with something due, one with nothing due, one that does not exist, in one read."""
    other = await Registry(database).open_account(account.merchant, "RUB")
    await books.book(Payment(other.id, 5 * SCALE, "p1"))
    time.at = START + timedelta(days=2)
    first, second, third = (reader.find(str(one)) for one in (account.id, other.id, uuid.UUID(int=0)))
    found = await first, await second, await third
    assert [one and (one.balance, one.hold) for one in found] == [
        ("911.00000000", "0.00000000"),
        ("5.00000000", "0.00000000"),
        None,
    ]


async def test_what_is_remembered_is_bounded(
    reader: AccountReader, account: Account, books: Books, time: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound, the oldest is forgotten and summed up again when it is asked for."""
    monkeypatch.setattr(due_amounts, "MOST_REMEMBERED", 1)
    remembered = due_amounts.DueAmounts[int]()
    amounts = due_amounts.Amounts("1", "2", "3", "4")
    first, second = (due_amounts.Due(amounts, 1, since, 20) for since in (10, 11))
    remembered.keep("a", first)
    remembered.keep("b", second)
    assert (remembered.find("a", 1, 12), remembered.find("b", 1, 12)) == (None, second)
    assert remembered.find("b", 2, 12) is None
    assert remembered.find("b", 1, 20) is None


async def test_one_read_is_of_one_file(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is restored in the midst of it is what the next one reads."""
    monkeypatch.setattr(reader_sqlite, "_LOOK_SECONDS", 0.0)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    copy = file.with_suffix(".copy")

    def now() -> datetime:
        # Asked for between the accounts' query and that of their lots.
        if copy.exists():
            copy.replace(file)
            for log in ("-wal", "-shm"):
                Path(f"{file}{log}").unlink(missing_ok=True)
        return START + timedelta(days=3)

    async with await Database.open(sqlite_url, create=True) as database:
        registry, books = Registry(database), Books(database, lambda: START)
        merchant = await registry.add_merchant("Shop")
        accounts = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(2)]
        for account in accounts:
            await books.book(SetPolicy(account, POLICY, "terms"))
            await books.book(Payment(account, 1000 * SCALE, "p1", effective_at=START))
        with sqlite3.connect(file) as connection:
            connection.execute(f"VACUUM INTO '{copy}'")
        connection.close()
        for account in accounts:
            await books.book(Payment(account, 1000 * SCALE, "p2", effective_at=START))
        reader = reader_for(database, now)
        balances = []
        for _ in range(2):
            found = [await one for one in [reader.find(str(account)) for account in accounts]]
            balances.append([one and one.balance for one in found])
        await reader.close()
    assert balances == [["1822.00000000"] * 2, ["911.00000000"] * 2]
