"""Closing a period, for all accounts there are and will be."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from alikassa.errors import ConflictError, EffectiveTimeError, InvalidInputError
from alikassa.ledger import periods, store
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, ClosePeriod, Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind
from alikassa.ledger.periods import close_period
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts, closed_periods, journal_entries
from command_line import REFUSED, USAGE, call, complaint, printed

pytestmark = pytest.mark.anyio

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def now() -> datetime:
    return NOW


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


async def open_accounts(database: Database, count: int) -> list[uuid.UUID]:
    registry = Registry(database, now)
    merchant = await registry.add_merchant("Shop")
    return [(await registry.open_account(merchant.id, "RUB")).id for _ in range(count)]


def adjustment(account: uuid.UUID, reference: str, at: datetime | None = None) -> Adjustment:
    return Adjustment(account, Bucket.BALANCE, 100, reference, "a test", effective_at=at)


async def closings(database: Database) -> list[tuple[uuid.UUID, str, datetime]]:
    """Account, reference and effective time of all entries that close a period."""
    entry = journal_entries.c
    async with database.read() as connection:
        found = await connection.execute(
            sa.select(entry.account_id, entry.reference, entry.effective_at).where(
                entry.kind == Kind.PERIOD_CLOSED.value
            )
        )
        return sorted(tuple(row) for row in found)


async def test_nothing_is_booked_with_effect_before_the_end_of_a_closed_period(either: Database) -> None:
    """On no account, by a microsecond; from the end on it is."""
    opened, books = await open_accounts(either, 3), Books(either, now)
    await close_period(either, until=FEBRUARY, reference="january", now=now)
    for account in opened:
        with pytest.raises(EffectiveTimeError):
            await books.book(adjustment(account, "late", FEBRUARY - timedelta(microseconds=1)))
        await books.book(adjustment(account, "in time", FEBRUARY))


async def test_every_account_is_closed_once_and_the_progress_is_told(
    either: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several steps, each account gets one entry that takes effect at the period's end."""
    monkeypatch.setattr(periods, "_TOGETHER", 3)
    opened, told = await open_accounts(either, 7), []
    period = await close_period(
        either, until=FEBRUARY, reference="january", now=now, progress=lambda done, total: told.append((done, total))
    )
    assert (period.accounts, period.closed) == (7, 7)
    assert told == [(3, 7), (6, 7), (7, 7)]
    assert await closings(either) == sorted((account, "january", FEBRUARY) for account in opened)


async def test_an_account_that_is_opened_later_is_closed_as_far(database: Database) -> None:
    """It takes nothing with effect in a period that was closed before it was opened."""
    await open_accounts(database, 1)
    await close_period(database, until=FEBRUARY, reference="january", now=now)
    (account,) = await open_accounts(database, 1)
    with pytest.raises(EffectiveTimeError):
        await Books(database, now).book(adjustment(account, "late", JANUARY))


async def test_closing_again_with_the_same_reference_changes_nothing(database: Database) -> None:
    """Repeated, it finds everything done."""
    await open_accounts(database, 3)
    await close_period(database, until=FEBRUARY, reference="january", now=now)
    before = await closings(database)
    again = await close_period(database, until=FEBRUARY, reference="january", now=now)
    assert (again.accounts, again.closed) == (3, 0)
    assert await closings(database) == before


async def test_what_was_ended_halfway_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after three of seven accounts, the same call closes the other four."""
    monkeypatch.setattr(periods, "_TOGETHER", 3)
    opened = await open_accounts(database, 7)

    def cut_off(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await close_period(database, until=FEBRUARY, reference="january", now=now, progress=cut_off)
    assert len(await closings(database)) == 3
    period = await close_period(database, until=FEBRUARY, reference="january", now=now)
    assert period.closed == 4
    assert await closings(database) == sorted((account, "january", FEBRUARY) for account in opened)


@pytest.mark.parametrize(("until", "reason"), [(MARCH, ""), (JANUARY, ""), (FEBRUARY, "other words")])
async def test_a_reference_names_one_period(database: Database, until: datetime, reason: str) -> None:
    """With another date or reason it is a conflict, and nothing is closed by it."""
    await open_accounts(database, 1)
    await close_period(database, until=FEBRUARY, reference="january", now=now)
    with pytest.raises(ConflictError):
        await close_period(database, until=until, reference="january", reason=reason, now=now)
    assert len(await closings(database)) == 1


@pytest.mark.parametrize("until", [JANUARY, FEBRUARY, NOW + timedelta(microseconds=1)])
async def test_only_a_later_period_that_is_over_is_closed(database: Database, until: datetime) -> None:
    """Neither what is closed already nor what has not ended."""
    await open_accounts(database, 1)
    await close_period(database, until=FEBRUARY, reference="january", now=now)
    with pytest.raises(EffectiveTimeError):
        await close_period(database, until=until, reference="another", now=now)
    async with database.read() as connection:
        assert list(await connection.scalars(sa.select(closed_periods.c.reference))) == ["january"]


async def test_a_time_without_its_zone_is_refused(database: Database) -> None:
    """Whose midnight it is has to be said."""
    with pytest.raises(InvalidInputError):
        await close_period(database, until=datetime(2026, 1, 1), reference="january", now=now)  # noqa: DTZ001


async def test_accounts_that_are_closed_further_are_left_alone(database: Database) -> None:
    """One that was closed by itself until March is not closed until February once more."""
    first, second = await open_accounts(database, 2)
    await Books(database, now).book(ClosePeriod(first, MARCH, "by hand"))
    period = await close_period(database, until=FEBRUARY, reference="january", now=now)
    assert (period.accounts, period.closed) == (2, 1)
    assert await closings(database) == sorted([(first, "by hand", MARCH), (second, "january", FEBRUARY)])


async def test_closing_does_not_stop_booking(either: Database) -> None:
    """Commands of now are booked while a period is closed."""
    opened, books = await open_accounts(either, 5), Books(either, now)
    results = await asyncio.gather(
        close_period(either, until=FEBRUARY, reference="january", now=now),
        *(books.book(adjustment(account, f"r{n}")) for account in opened for n in range(20)),
    )
    assert len(results) == 101
    assert len(await closings(either)) == 5


async def test_two_programs_may_close_the_same_period(either: Database) -> None:
    """Both succeed, and each account is closed once."""
    await open_accounts(either, 5)
    async with await Database.open(either.address.dsn) as second:
        both = await asyncio.gather(
            *(close_period(one, until=FEBRUARY, reference="january", now=now) for one in (either, second))
        )
    assert sum(period.closed for period in both) == 5
    assert len(await closings(either)) == 5


async def test_an_account_that_is_being_opened_is_closed_too(either: Database) -> None:
    """Whoever opens one while the period is closed has it closed as far, by one or by the other."""
    registry = Registry(either)
    merchant = await registry.add_merchant("Shop")
    await asyncio.gather(
        *(registry.open_account(merchant.id, "RUB") for _ in range(10)),
        close_period(either, until=FEBRUARY, reference="january", now=now),
        *(registry.open_account(merchant.id, "RUB") for _ in range(10)),
    )
    async with either.read() as connection:
        assert set(await connection.scalars(sa.select(accounts.c.closed_until))) == {FEBRUARY}


async def test_it_waits_for_an_account_that_is_being_opened(either: Database) -> None:
    """Whoever has begun to open one, and saw no period closed, ends first; then that account is closed too."""
    (account,) = await open_accounts(either, 1)
    async with either.write() as connection:
        found = await store.find_account(connection, account)
        assert found is not None
        assert await store.find_merchant(connection, found.merchant, lock=True) is not None
        late = msgspec.structs.replace(found, id=uuid.uuid4())
        closing = asyncio.create_task(close_period(either, until=FEBRUARY, reference="january", now=now))
        await asyncio.sleep(0.3)
        assert await store.insert_account(connection, late)
    assert (await closing).closed == 2
    assert sorted(one for one, _, _ in await closings(either)) == sorted([account, late.id])


async def test_held_sums_due_before_the_end_are_released_before_it_is_closed(database: Database) -> None:
    """Their releases take effect in the period, so they come before its end in the journal."""
    (account,) = await open_accounts(database, 1)
    books = Books(database, now)
    await books.book(SetPolicy(account, Policy(hold_percent=10 * 10**8, hold_days=5), "terms"))
    await books.book(Payment(account, 1000, "sold", effective_at=JANUARY))
    await close_period(database, until=FEBRUARY, reference="january", now=now)
    entry = journal_entries.c
    async with database.read() as connection:
        found = await connection.execute(sa.select(entry.kind, entry.effective_at).order_by(entry.sequence))
        kinds = [tuple(row) for row in found]
    assert kinds[-2:] == [("release", JANUARY + timedelta(days=5)), ("period_closed", FEBRUARY)]


# The command


@pytest.fixture
def books(sqlite_url: str) -> str:
    """The URL of books with two accounts."""

    async def prepare() -> None:
        async with await Database.open(sqlite_url, create=True) as opened:
            await open_accounts(opened, 2)

    asyncio.run(prepare())
    return sqlite_url


def test_the_command_closes_until_midnight_utc(books: str) -> None:
    """It says how many accounts it closed, and on the second time that all were."""
    done = call("books", "close", "--until", "2026-02-01", "--database", books)
    assert done.stderr.splitlines() == ["2 of 2 accounts ...", "Closed until 2026-02-01 00:00 UTC on 2 accounts."]
    again = printed("books", "close", "--until", "2026-02-01", "--database", books)
    assert again == {
        "reference": "until-2026-02-01",
        "until": "2026-02-01T00:00:00+00:00",
        "accounts": 2,
        "closed": 0,
    }


@pytest.mark.parametrize("date", ["2026-02-30", "20260201", "2026-02-01T00:00", "yesterday", ""])
def test_the_command_takes_nothing_but_a_date(books: str, date: str) -> None:
    """What could be meant otherwise is refused."""
    assert "is not a date" in complaint(USAGE, "books", "close", "--until", date, "--database", books)


def test_the_command_is_refused_as_the_books_refuse(books: str) -> None:
    """A day that is to come is no end of a period; the exit code says that it was refused."""
    assert "is not over yet" in complaint(REFUSED, "books", "close", "--until", "2999-01-01", "--database", books)
