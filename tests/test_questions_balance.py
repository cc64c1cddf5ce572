"""What an account's four numbers were, are and will be."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from alikassa.errors import InvalidInputError, InvariantError, NotFoundError
from alikassa.ledger.commands import Payment, Refund
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.questions.balance_at import Basis, balance_at
from alikassa.ledger.schema import journal_entries, postings
from alikassa.money import SCALE
from questions_story import INSTANT, START, Story, day, four, new_url, open_account, tell

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the module, on each engine in turn: every story has an account of its own."""
    return new_url(request, tmp_path_factory)


@pytest.fixture
async def database(url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(url, create=True) as opened:
        yield opened


@pytest.fixture
async def story(database: Database) -> Story:
    return await tell(database)


async def was(story: Story, at: datetime | None, by: Basis = Basis.RECORDED) -> tuple[dict[Bucket, int], int]:
    found = await balance_at(story.database, story.account.id, at=at, by=by, now=story.clock)
    return found.buckets, found.sequence


async def test_the_past_is_told_as_it_was_answered(story: Story) -> None:
    """At each moment the numbers are those of the entries by then; to the instant."""
    for moment, sequence, numbers in (
        (day(-1), 0, four(0, 0, 0, 0)),
        (day(0) - INSTANT, 1, four(0, 0, 0, 0)),
        (day(0), 2, four(711, 200, 50, 0)),
        (day(1) - INSTANT, 2, four(711, 200, 50, 0)),
        (day(1), 3, four(661, 0, 0, 0)),
        (day(1.4), 4, four(1011.5, 100, 25, 0)),
        (day(1.6), 5, four(910.5, 100, 25, 100)),
        (day(3), 6, four(900.5, 110, 25, 100)),
    ):
        assert await was(story, moment) == (numbers, sequence), moment


async def test_what_was_due_and_not_yet_released_was_in_the_balance(story: Story) -> None:
    """From day 3.25 on the hold could be spent, though no entry released it before day 3.5."""
    assert await was(story, day(3.25) - INSTANT) == (four(900.5, 110, 25, 100), 6)
    assert await was(story, day(3.25)) == (four(1000.5, 10, 25, 100), 6)
    assert await was(story, day(3.5) - INSTANT) == (four(1000.5, 10, 25, 100), 6)


async def test_the_present_needs_no_time(story: Story) -> None:
    """Without a time it is now, also long after the last entry."""
    assert await was(story, None) == (four(1000.5, 10, 25, 0), 8)
    story.clock.at = day(31.25)
    assert await was(story, None) == (four(1025.5, 10, 0, 0), 8)


async def test_the_future_is_the_present_and_what_falls_due(story: Story) -> None:
    """The reserve is released on day 31.25; what is held by hand stays."""
    assert await was(story, day(31.25) - INSTANT) == (four(1000.5, 10, 25, 0), 8)
    assert await was(story, day(31.25)) == (four(1025.5, 10, 0, 0), 8)
    assert await was(story, day(4000)) == (four(1025.5, 10, 0, 0), 8)


async def test_a_late_entry_counts_from_when_it_was_recorded(story: Story) -> None:
    """A payment of day 0.5 that is booked on day 5 changes nothing that was answered before day 5."""
    story.clock.at = day(5)
    await story.books.book(
        Payment(account=story.account.id, amount=1000 * SCALE, reference="late", effective_at=day(0.5))
    )
    assert await was(story, day(1)) == (four(661, 0, 0, 0), 3)
    # Its hold was due on day 2.5, long before it was booked: at once in the balance.
    assert await was(story, day(5)) == (four(1911.5, 10, 75, 0), 9)


async def test_by_effective_time_a_late_entry_counts_from_when_it_took_effect(story: Story) -> None:
    """The other view: on day 1 the late payment of day 0.5 is there, and its hold until day 2.5."""
    story.clock.at = day(5)
    await story.books.book(
        Payment(account=story.account.id, amount=1000 * SCALE, reference="late", effective_at=day(0.5))
    )
    for moment, numbers in (
        (day(0.4), four(711, 200, 50, 0)),
        (day(0.5), four(1422, 400, 100, 0)),
        (day(1), four(1372, 200, 50, 0)),
        (day(2.4), four(1611.5, 310, 75, 100)),
        (day(2.5), four(1811.5, 110, 75, 100)),
        (day(3.25), four(1911.5, 10, 75, 100)),
        (day(30.5), four(1961.5, 10, 25, 0)),
    ):
        assert (await was(story, moment, Basis.EFFECTIVE))[0] == numbers, moment


async def test_by_effective_time_a_release_counts_from_its_due_time(story: Story) -> None:
    """Booked on day 3.5 or not booked at all, the hold is released on day 3.25."""
    assert (await was(story, day(3.25) - INSTANT, Basis.EFFECTIVE))[0] == four(900.5, 110, 25, 100)
    assert (await was(story, day(3.25), Basis.EFFECTIVE))[0] == four(1000.5, 10, 25, 100)


async def test_a_lot_that_was_drawn_since_was_due_then(story: Story) -> None:
    """What a moment's answer counted as due is the same after a refund took from that payment's other lots."""
    story.clock.at = day(3.5) + timedelta(minutes=1)
    await story.books.book(Refund(account=story.account.id, payment="p2", amount=25 * SCALE, reference="r2"))
    assert await was(story, day(3.3)) == (four(1000.5, 10, 25, 100), 6)
    assert await was(story, None) == (four(1000.5, 10, 0, 0), 9)


async def test_a_time_is_the_same_in_any_zone(story: Story) -> None:
    """Midnight in Vladivostok is two in the afternoon of the day before in UTC."""
    there = (day(1) - INSTANT).astimezone(timezone(timedelta(hours=10)))
    found = await balance_at(story.database, story.account.id, at=there, now=story.clock)
    assert (found.sequence, found.at, found.at.tzinfo) == (2, day(1) - INSTANT, UTC)


async def test_an_account_without_entries_has_nothing(database: Database) -> None:
    """At any time."""
    account = await open_account(database)
    for moment in (None, START, day(40000)):
        found = await balance_at(database, account.id, at=moment)
        assert (found.buckets, found.sequence, found.currency) == (four(0, 0, 0, 0), 0, "RUB")


async def test_what_cannot_be_answered_is_refused(story: Story) -> None:
    """An account that is not there, a time without a zone, and one that UTC does not have."""
    with pytest.raises(NotFoundError):
        await balance_at(story.database, uuid.uuid4())
    with pytest.raises(InvalidInputError):
        await balance_at(story.database, story.account.id, at=datetime(2024, 3, 1, 12))  # noqa: DTZ001 - the point
    with pytest.raises(InvalidInputError):
        await balance_at(story.database, story.account.id, at=datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))


async def test_a_journal_with_a_gap_is_not_guessed_at(sqlite_url: str) -> None:
    """An entry that somebody deleted, past the triggers, is told by its number."""
    async with await Database.open(sqlite_url, create=True) as database:
        story = await tell(database)
        async with database.write() as connection:
            for table in (postings, journal_entries):
                await connection.exec_driver_sql(f"DROP TRIGGER {table.name}_no_delete")
                await connection.execute(
                    sa.delete(table).where(table.c.account_id == story.account.id, table.c.sequence == 7)
                )
        story.clock.at = day(4)
        with pytest.raises(InvariantError, match="no entry 7"):
            await was(story, day(3.5))


async def test_the_cost_is_that_of_the_entries_after(story: Story) -> None:
    """After 300 more entries, an instant ago is found by looking at one of them, and any time by looking at few."""
    story.clock.at = day(5)
    more = [Payment(account=story.account.id, amount=SCALE, reference=f"x{number}") for number in range(300)]
    await asyncio.gather(*map(story.books.book, more))
    looked = 0

    def count(*arguments: object) -> None:
        nonlocal looked
        looked += "FROM journal_entries" in str(arguments[2])

    event.listen(story.database._engine.sync_engine, "before_cursor_execute", count)
    story.clock.at += timedelta(minutes=1)
    assert (await was(story, story.clock.at - INSTANT))[1] == 308
    assert looked == 1
    assert (await was(story, day(0)))[1] == 2
    assert looked < 25
