"""The books' contract: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from alikassa.errors import (
    AmountError,
    BoundExceededError,
    ConflictError,
    InsufficientFundsError,
    InvalidInputError,
    NotFoundError,
)
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Account, Booked, Bucket, SystemAccount
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import journal_entries, postings
from alikassa.money import BOUND

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


@pytest.fixture
async def account(database: Database) -> Account:
    registry = Registry(database)
    merchant = await registry.add_merchant("Shop")
    return await registry.open_account(merchant.id, "RUB")


def adjustment(account: Account, amount: int, reference: str, bucket: Bucket = Bucket.BALANCE) -> Adjustment:
    return Adjustment(account.id, bucket, amount, reference, "a test")


async def stands(database: Database, account: Account) -> dict[Bucket, int]:
    """The account's buckets as they are materialised."""
    return next(one for one in await Registry(database).accounts() if one.id == account.id).buckets


async def journal(database: Database, account: Account) -> list[tuple[int, datetime, dict[str, int]]]:
    """Every entry from the tables themselves: sequence, recorded_at, postings."""
    async with database.read() as connection:
        entries = await connection.execute(
            sa.select(journal_entries.c.sequence, journal_entries.c.recorded_at)
            .where(journal_entries.c.account_id == account.id)
            .order_by(journal_entries.c.sequence)
        )
        lines = await connection.execute(
            sa.select(postings.c.sequence, postings.c.bucket, postings.c.amount).where(
                postings.c.account_id == account.id
            )
        )
        by_entry: dict[int, dict[str, int]] = {}
        for sequence, bucket, amount in lines:
            by_entry.setdefault(sequence, {})[bucket] = amount
        return [(sequence, recorded_at, by_entry[sequence]) for sequence, recorded_at in entries]


@pytest.mark.parametrize("bucket", BUCKETS)
async def test_an_adjustment_moves_one_bucket(database: Database, account: Account, bucket: Bucket) -> None:
    """The bucket and the system account move by the same amount in opposite directions, and nothing else does."""
    booked = await Books(database).book(adjustment(account, 12345, "r", bucket))
    moved = [(posting.bucket, posting.amount) for posting in booked.entry.postings]
    assert moved == [(bucket, 12345), (SystemAccount.ADJUSTMENTS, -12345)]
    assert booked.account.buckets == dict.fromkeys(BUCKETS, 0) | {bucket: 12345}
    assert await stands(database, account) == booked.account.buckets


async def test_the_largest_amount_is_kept_to_the_last_unit(database: Database, account: Account) -> None:
    """10^18 less one unit goes in and comes out exactly; one unit more is refused."""
    books = Books(database)
    await books.book(adjustment(account, BOUND - 1, "all"))
    assert (await stands(database, account))[Bucket.BALANCE] == BOUND - 1
    with pytest.raises(BoundExceededError):
        await books.book(adjustment(account, 1, "one more"))
    await books.book(adjustment(account, 1 - BOUND, "and back"))
    assert (await stands(database, account))[Bucket.BALANCE] == 0


@pytest.mark.parametrize("bucket", BUCKETS)
async def test_no_bucket_is_drawn_below_zero(database: Database, account: Account, bucket: Bucket) -> None:
    """A refusal carries the numbers, moves nothing and books nothing."""
    books = Books(database)
    await books.book(adjustment(account, 100, "in", bucket))
    with pytest.raises(InsufficientFundsError) as caught:
        await books.book(adjustment(account, -101, "out", bucket))
    assert (caught.value.bucket, caught.value.asked, caught.value.available) == (bucket, "0.00000101", "0.00000100")
    assert (await stands(database, account))[bucket] == 100
    assert len(await journal(database, account)) == 1


async def test_the_same_command_is_booked_once(database: Database, account: Account) -> None:
    """Repeated with its reference, a command gives the first result again."""
    books = Books(database)
    first = await books.book(adjustment(account, 5, "once"))
    await books.book(adjustment(account, 7, "another"))
    again = await books.book(adjustment(account, 5, "once"))
    assert (again.entry, again.repeated, first.repeated) == (first.entry, True, False)
    assert (await stands(database, account))[Bucket.BALANCE] == 12


@pytest.mark.parametrize(
    "other",
    [
        lambda one: Adjustment(one.account, one.bucket, one.amount + 1, one.reference, one.reason),
        lambda one: Adjustment(one.account, Bucket.HOLD, one.amount, one.reference, one.reason),
        lambda one: Adjustment(one.account, one.bucket, one.amount, one.reference, one.reason + "!"),
    ],
    ids=["amount", "bucket", "reason"],
)
async def test_a_reference_with_other_content_is_a_conflict(
    database: Database, account: Account, other: object
) -> None:
    """A reference names one event for ever."""
    books = Books(database)
    command = adjustment(account, 5, "once")
    await books.book(command)
    with pytest.raises(ConflictError):
        await books.book(other(command))  # type: ignore[operator]
    assert (await stands(database, account)) == dict.fromkeys(BUCKETS, 0) | {Bucket.BALANCE: 5}


async def test_a_refusal_leaves_its_reference_free(database: Database, account: Account) -> None:
    """What was refused for lack of money is decided afresh when it is tried again."""
    books = Books(database)
    draw = adjustment(account, -5, "draw")
    with pytest.raises(InsufficientFundsError):
        await books.book(draw)
    await books.book(adjustment(account, 5, "fill"))
    assert not (await books.book(draw)).repeated


async def test_a_reference_belongs_to_its_account(database: Database, account: Account) -> None:
    """Two accounts may use the same reference."""
    other = await Registry(database).open_account(account.merchant, "RUB")
    books = Books(database)
    assert not (await books.book(adjustment(account, 5, "same"))).repeated
    assert not (await books.book(adjustment(other, 6, "same"))).repeated


async def test_an_unknown_account_is_refused(database: Database, account: Account) -> None:
    """There is nothing to book on."""
    with pytest.raises(NotFoundError):
        await Books(database).book(Adjustment(uuid.uuid4(), Bucket.BALANCE, 1, "r", "a test"))


async def test_nothing_is_no_adjustment(database: Database, account: Account) -> None:
    """An entry that moves nothing is refused."""
    with pytest.raises(AmountError):
        await Books(database).book(adjustment(account, 0, "zero"))


@pytest.mark.parametrize("text", ["", " ", "a ", "a\nb", "x" * 600, "\x00", "a\u200bb"])
async def test_texts_that_cannot_be_read_are_refused(database: Database, account: Account, text: str) -> None:
    """References and reasons are for people to read: printable, not empty, not endless."""
    for command in (
        Adjustment(account.id, Bucket.BALANCE, 1, text, "a test"),
        Adjustment(account.id, Bucket.BALANCE, 1, "r", text),
    ):
        with pytest.raises(InvalidInputError):
            await Books(database).book(command)


async def test_recorded_at_rises_when_the_clock_does_not(database: Database, account: Account) -> None:
    """Within an account the time of recording rises strictly, also when the clock stands still or is set back."""
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for place, moment in enumerate((start, start, start - timedelta(days=1), start + timedelta(days=1))):
        await Books(database, lambda moment=moment: moment).book(adjustment(account, 1, f"r{place}"))  # type: ignore[misc]
    times = [recorded_at for _, recorded_at, _ in await journal(database, account)]
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (start, start + timedelta(days=1))


async def test_two_programs_on_one_account_lose_nothing(database: Database, account: Account) -> None:
    """Forty adjustments from two programs at once: every one is booked, in one gapless sequence, and sums right."""
    async with await Database.open(database.address.dsn) as second:
        results = await asyncio.gather(
            *(
                Books(database if place % 2 else second).book(adjustment(account, 1 + place, f"r{place}"))
                for place in range(40)
            )
        )
    entries = await journal(database, account)
    assert [sequence for sequence, _, _ in entries] == list(range(1, 41))
    assert all(sum(lines.values()) == 0 for _, _, lines in entries)
    assert sorted(result.entry.sequence for result in results) == list(range(1, 41))
    assert (await stands(database, account))[Bucket.BALANCE] == sum(range(1, 41))


async def test_the_same_command_from_two_programs_is_booked_once(database: Database, account: Account) -> None:
    """A retry that overtakes its first try finds it, or is found by it."""
    command = adjustment(account, 5, "once")
    async with await Database.open(database.address.dsn) as second:
        results: list[Booked] = await asyncio.gather(
            *(Books(database if place % 2 else second).book(command) for place in range(10))
        )
    assert sum(not result.repeated for result in results) == 1
    assert len({result.entry.id for result in results}) == 1
    assert (await stands(database, account))[Bucket.BALANCE] == 5
