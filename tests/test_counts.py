"""What readers and writers count of their own work: all that was asked, once, however it ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alikassa.errors import DatabaseError, InsufficientFundsError, OverloadedError
from alikassa.ledger import queue
from alikassa.ledger.attempts import Answer, Attempt
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, PayoutCreate
from alikassa.ledger.counts import Spread
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from conftest import PAGE_ACCOUNT, Shop


def test_a_value_is_below_the_power_of_two_that_it_is_counted_at() -> None:
    """Numbers at most 2**k, durations below 2**k microseconds; what is larger than all is in the last."""
    numbers, seconds = Spread(), Spread()
    for number in (1, 2, 3, 4, 5, 64, 65):
        numbers.add(number)
    assert [numbers.buckets[k] for k in (0, 1, 2, 3, 6, 7)] == [1, 1, 2, 1, 1, 1]
    assert (numbers.total, numbers.count) == (144, 7)
    for one in (0.0, 0.0000009, 0.000001, 0.0000159, 0.000016, 1e6):
        seconds.add_seconds(one)
    assert [seconds.buckets[k] for k in (0, 1, 4, 5, 40)] == [2, 1, 1, 1, 1]
    assert seconds.count == 6


@pytest.mark.by_the_clock
@pytest.mark.anyio
async def test_reads_are_counted_with_how_many_they_served(shop: Shop) -> None:
    """Five that wait together are one read; a failed one is counted with its error, by the last word of its name."""
    async with await Database.open(shop.database) as database:
        reader = reader_for(database)
        await asyncio.gather(*(reader.find(PAGE_ACCOUNT) for _ in range(5)))
        await reader.find(PAGE_ACCOUNT)
        counts = reader.counts
        assert (counts.sizes.count, counts.sizes.total) == (2, 6)
        assert (counts.sizes.buckets[3], counts.sizes.buckets[0]) == (1, 1)
        assert 0 < counts.seconds.total < 2
        assert not counts.failures
        await reader.close()


@pytest.mark.anyio
async def test_a_failed_read_is_counted(sqlite_url: str) -> None:
    async with Database.attach(sqlite_url) as database:
        reader = reader_for(database)
        with pytest.raises(DatabaseError):
            await reader.find(PAGE_ACCOUNT)
        assert reader.counts.failures == {"database_missing": 1}
        assert reader.counts.sizes.count == 1


class _Broken:
    """Fails whatever it is told."""

    def ended(self, *_: object) -> None:
        raise ArithmeticError

    taken = batch = ended


@pytest.mark.anyio
async def test_a_watch_that_fails_ends_nothing(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits for a read or a batch has it, and the log has what went wrong."""
    async with await Database.open(shop.database) as database:
        reader, books = reader_for(database), Books(database)
        reader.counts.watches += (_Broken(),)
        books.counts.watches += (_Broken(),)
        async with asyncio.timeout(5):
            for number in range(2):
                assert await reader.find(PAGE_ACCOUNT) is not None
                command = Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.BALANCE, 100, str(number), "test")
                assert not (await books.book(command)).repeated
        await reader.close()
    assert reader.counts.failures == books.counts.failures == {}
    assert [record.message for record in caplog.records] == ["A watch of the books failed."] * 6


@pytest.mark.anyio
async def test_a_defect_in_the_writer_is_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error of the database is; what waits behind it is booked all the same."""
    monkeypatch.setattr(queue, "MOST_TOGETHER", 1)
    good = False

    def now() -> datetime:
        nonlocal good
        good, before = True, good
        return datetime.now(UTC) if before else datetime.fromisoformat("never")

    async with await Database.open(shop.database) as database:
        books = Books(database, now)
        account = uuid.UUID(PAGE_ACCOUNT)
        async with asyncio.timeout(5):
            first, second = await asyncio.gather(
                *[books.book(Adjustment(account, Bucket.BALANCE, 100, name, "test")) for name in ("one", "two")],
                return_exceptions=True,
            )
        assert isinstance(first, ValueError)
        assert not isinstance(second, BaseException)
        assert books.counts.failures == {"value": 1}
        assert books.counts.commands == {(Kind.ADJUSTMENT, "value"): 1, (Kind.ADJUSTMENT, "booked"): 1}


def _rendered(outcome: object) -> Answer:
    return Answer(422 if isinstance(outcome, Exception) else 201, b"")


@pytest.mark.anyio
async def test_every_command_is_counted_with_what_became_of_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Booked, repeated, refused by its error, undone beside a refused one, replayed under its key, turned away."""
    account = uuid.UUID(shop.account)

    def more(reference: str) -> Adjustment:
        return Adjustment(account, Bucket.BALANCE, 100, reference, "test")

    payout = PayoutCreate(account, 10**18, "payout-1")
    async with await Database.open(shop.database) as database:
        books = Books(database)
        await books.book(more("one"))
        await books.book(more("one"))
        with pytest.raises(InsufficientFundsError):
            await books.book_together([more("two"), payout])
        attempt = Attempt(0, uuid.uuid4(), "key", b"request", _rendered)
        await books.attempt(more("three"), attempt)
        await books.attempt(more("three"), attempt)
        batches = books.counts.seconds.count
        monkeypatch.setattr(queue, "MOST_WAITING", 0)
        with pytest.raises(OverloadedError):
            await books.book(more("four"))
        assert books.counts.commands == {
            (Kind.ADJUSTMENT, "booked"): 2,
            (Kind.ADJUSTMENT, "repeated"): 1,
            (Kind.ADJUSTMENT, "undone"): 1,
            (Kind.ADJUSTMENT, "replayed"): 1,
            (Kind.ADJUSTMENT, "overloaded"): 1,
            (Kind.PAYOUT_CREATED, "insufficient_funds"): 1,
        }
        assert books.counts.entries == {Kind.ADJUSTMENT: 2}
        assert books.counts.sizes.total == 6
        assert batches == books.counts.commit_seconds.count == books.counts.sizes.count == 5
        assert books.counts.commit_seconds.total <= books.counts.seconds.total
        assert books.waiting == 0


@pytest.mark.anyio
async def test_commands_of_a_batch_that_failed_are_counted(
    sqlite_url: str, archives: Callable[[str], Path], tmp_path: Path
) -> None:
    """By the database's error; nothing else is said to have happened."""
    async with await Database.open(sqlite_url, create=True) as database:
        registry = Registry(database)
        account = await registry.open_account((await registry.add_merchant("Shop")).id, "RUB")
        (tmp_path / "books.db").rename(tmp_path / "away.db")
        books = Books(database)
        with pytest.raises(DatabaseError):
            await books.book(Adjustment(account.id, Bucket.BALANCE, 100, "one", "test"))
        assert books.counts.commands.total() == 1
        ((kind, word),) = books.counts.commands
        assert kind is Kind.ADJUSTMENT
        assert books.counts.failures == {word: 1}
        assert books.counts.seconds.count == 0
