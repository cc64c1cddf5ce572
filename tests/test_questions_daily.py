"""Balances day by day: the four numbers at the end of each day of the account's time zone, and now."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from alikassa.errors import InvalidInputError, NotFoundError
from alikassa.ledger import snapshots
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.questions.daily import MOST_DAYS, DayEnd, daily_balances, daily_balances_of
from alikassa.money import SCALE
from questions_story import Story, day, four, new_url, open_account, tell

pytestmark = pytest.mark.anyio

MARCH_1 = date(2024, 3, 1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_url(request, tmp_path_factory)


@pytest.fixture
async def database(url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Snapshots of the story's eight entries are there after three and six."""
    monkeypatch.setattr(snapshots, "EVERY", 3)
    async with await Database.open(url, create=True) as opened:
        yield opened


@pytest.fixture
async def story(database: Database) -> Story:
    return await tell(database)


def end(number: int, sequence: int, *amounts: float) -> DayEnd:
    """Of the day so many days after the first of March."""
    balance, hold, reserve, pending = four(*amounts).values()
    return DayEnd(MARCH_1 + timedelta(days=number), balance, hold, reserve, pending, sequence)


async def test_a_day_ends_with_its_last_entry(story: Story) -> None:
    """What is booked at midnight is the next day's; before the first entry there is nothing; today is as of now."""
    assert await daily_balances(story.database, story.account.id, days=6, now=story.clock) == [
        end(-2, 0, 0, 0, 0, 0),
        end(-1, 0, 0, 0, 0, 0),
        end(0, 2, 711, 200, 50, 0),
        end(1, 4, 1011.5, 100, 25, 0),
        end(2, 6, 900.5, 110, 25, 100),
        end(3, 6, 900.5, 110, 25, 100),
        end(4, 8, 1000.5, 10, 25, 0),
    ]


async def test_days_are_those_of_the_time_zone(story: Story) -> None:
    """Kathmandu's end at 18:15 UTC. They follow the present policy, also for the time before it was set."""
    story.clock.at = day(3.6)
    policy = Policy(time_zone="Asia/Kathmandu")
    await story.books.book(SetPolicy(account=story.account.id, policy=policy, reference="moved"))
    assert await daily_balances(story.database, story.account.id, days=3, now=story.clock) == [
        end(1, 4, 1011.5, 100, 25, 0),
        end(2, 6, 900.5, 110, 25, 100),
        end(3, 6, 900.5, 110, 25, 100),
        end(4, 9, 1000.5, 10, 25, 0),
    ]
    story.clock.at = day(3.6) + timedelta(hours=16)
    (yesterday, today) = await daily_balances(story.database, story.account.id, days=1, now=story.clock)
    assert (yesterday, today) == (end(4, 9, 1000.5, 10, 25, 0), end(5, 9, 1000.5, 10, 25, 0))


async def test_the_days_on_which_clocks_are_changed(story: Story) -> None:
    """In Berlin, the last of March 2024 lasts 23 hours: its end is 22:00 UTC, that of the day before 23:00."""
    story.clock.at = day(3.6)
    policy = Policy(time_zone="Europe/Berlin")
    await story.books.book(SetPolicy(account=story.account.id, policy=policy, reference="moved"))
    for number, at in enumerate((day(29.4375), day(29.459), day(30.4), day(30.417))):
        story.clock.at = at
        await story.books.book(SetPolicy(account=story.account.id, policy=policy, reference=f"again-{number}"))
    found = await daily_balances(story.database, story.account.id, days=3, now=story.clock)
    assert [(one.day.isoformat(), one.sequence) for one in found] == [
        ("2024-03-29", 9),
        ("2024-03-30", 10),
        ("2024-03-31", 12),
        ("2024-04-01", 13),
    ]


async def test_several_accounts_are_answered_together(story: Story) -> None:
    """Each with its own numbers; one without entries has nothing, every day."""
    other = (await tell(story.database)).account.id
    empty = (await open_account(story.database)).id
    accounts = [story.account.id, empty, other]
    found = await daily_balances_of(story.database, accounts, days=3, now=story.clock)
    assert list(found[empty]) == [end(number, 0, 0, 0, 0, 0) for number in (1, 2, 3, 4)]
    for one in (story.account.id, other):
        assert found[one] == await daily_balances(story.database, one, days=3, now=story.clock)
    assert await daily_balances_of(story.database, [], days=3, now=story.clock) == {}


async def test_what_cannot_be_asked(story: Story) -> None:
    """No days, more than there can be, more accounts than one question takes, an account that there is not."""
    id_ = story.account.id
    for days in (0, MOST_DAYS + 1):
        with pytest.raises(InvalidInputError, match=f"The number of days is {days}"):
            await daily_balances(story.database, id_, days=days)
    with pytest.raises(InvalidInputError, match="are too many for one question"):
        await daily_balances_of(story.database, [uuid.uuid4() for _ in range(26)], days=MOST_DAYS)
    with pytest.raises(NotFoundError):
        await daily_balances(story.database, uuid.uuid4(), days=1)
    assert len(await daily_balances(story.database, id_, days=MOST_DAYS, now=story.clock)) == MOST_DAYS + 1


async def test_the_way_from_a_snapshot_is_short(
    sqlite_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the postings, those are read that lie between a day's end and the snapshot that is nearer, not more."""
    monkeypatch.setattr(snapshots, "EVERY", 8)
    read: list[int] = []

    def note(*arguments: Any) -> None:
        if "FROM postings p" in arguments[2]:
            # Of each row that was asked for, after which entry and up to which.
            read.extend(last - first for first, last in zip(arguments[3][3::5], arguments[3][4::5], strict=True))

    async with await Database.open(sqlite_url, create=True) as database:
        story = await tell(database)
        for number in range(60):
            story.clock.at = day(4 + number / 7)
            await story.books.book(Payment(account=story.account.id, amount=SCALE, reference=f"x{number}"))
        event.listen(database._engine.sync_engine, "before_cursor_execute", note)
        found = await daily_balances(database, story.account.id, days=20, now=story.clock)
    assert len({one.sequence for one in found}) > 10
    assert 5 < sum(read) < 60
    assert max(read) <= 4
