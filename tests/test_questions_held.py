"""Why money is held, and when it is released."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from alikassa.errors import InvalidInputError, InvariantError, NotFoundError
from alikassa.ledger.commands import Adjustment, Chargeback, Opening, OpenLot, OpenPayout, Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind, LotKey
from alikassa.ledger.policy import Policy
from alikassa.ledger.questions.balance_at import balance_at
from alikassa.ledger.questions.explain import Explanation, HeldLot, Others, explain
from alikassa.ledger.questions.schedule import Schedule, ScheduleDay, schedule
from alikassa.ledger.schema import lots, payouts
from alikassa.money import SCALE
from questions_story import Story, day, four, new_url, open_account, tell, units

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


async def planned(story: Story) -> Schedule:
    return await schedule(story.database, story.account.id, now=story.clock)


async def explained(story: Story, limit: int = 20) -> Explanation:
    return await explain(story.database, story.account.id, limit=limit, now=story.clock)


def held(hold: float, reserve: float) -> dict[Bucket, int]:
    numbers = four(0, hold, reserve, 0)
    return {bucket: numbers[bucket] for bucket in (Bucket.HOLD, Bucket.ROLLING_RESERVE)}


# The schedule


async def test_the_schedule_puts_each_lot_in_one_place(story: Story) -> None:
    """Day 3.5: p2's reserve falls due on day 31.25, and the hold by hand never does."""
    found = await planned(story)
    assert (found.currency, found.time_zone, found.at) == ("RUB", "UTC", day(3.5))
    assert found.days == [ScheduleDay(date(2024, 4, 1), 0, units("25"), 1)]
    assert (found.by_hand, found.due_now) == (held(10, 0), held(0, 0))


async def test_what_is_due_and_not_yet_released_has_a_place_of_its_own(story: Story) -> None:
    """From the very instant on; until then it is on its day."""
    story.clock.at = day(31.25) - timedelta(microseconds=1)
    assert (await planned(story)).due_now == held(0, 0)
    story.clock.at = day(31.25)
    found = await planned(story)
    assert (found.days, found.due_now, found.by_hand) == ([], held(0, 25), held(10, 0))


async def test_lots_of_one_day_are_added_up(story: Story) -> None:
    """Three payments of day 4, two in one instant: 1000 each, 200 held for two days and 50 reserved for thirty."""
    story.clock.at = day(4.5)
    for number, hour in enumerate((1, 2, 2)):
        await story.books.book(
            Payment(
                account=story.account.id,
                amount=1000 * SCALE,
                reference=f"d{number}",
                effective_at=day(4) + timedelta(hours=hour),
            )
        )
    assert (await planned(story)).days == [
        ScheduleDay(date(2024, 3, 7), units("600"), 0, 3),
        ScheduleDay(date(2024, 4, 1), 0, units("25"), 1),
        ScheduleDay(date(2024, 4, 4), 0, units("150"), 3),
    ]


async def test_days_are_those_of_the_accounts_time_zone(story: Story) -> None:
    """Due at 18:00 in UTC on the first of April is due on the second in Auckland."""
    terms = Policy(time_zone="Pacific/Auckland")
    await story.books.book(SetPolicy(account=story.account.id, policy=terms, reference="terms-2"))
    found = await planned(story)
    assert (found.time_zone, [one.day for one in found.days]) == ("Pacific/Auckland", [date(2024, 4, 2)])


async def test_the_last_day_of_the_calendar_is_a_day(story: Story) -> None:
    """The last moment that may be named; where the account is, it is in the next year already."""
    account = await open_account(story.database)
    end = datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
    story.clock.at = day(5)
    await story.books.book(
        Opening(
            account=account.id,
            balance=0,
            hold=5,
            rolling_reserve=0,
            pending_payouts=0,
            reference="old books",
            lots=(OpenLot(Bucket.HOLD, 5, end),),
        )
    )
    await story.books.book(SetPolicy(account=account.id, policy=Policy(time_zone="Asia/Tokyo"), reference="terms"))
    found = await schedule(story.database, account.id, now=story.clock)
    assert found.days == [ScheduleDay(date(9999, 1, 1), 5, 0, 1)]


async def test_days_far_apart_are_found(story: Story) -> None:
    """What falls due in ten, in twelve hundred and in a million days, each on its day, after days with nothing."""
    account = await open_account(story.database)
    story.clock.at = day(5)
    lots = tuple(OpenLot(Bucket.HOLD, number, day(number)) for number in (10, 410, 1200, 1_000_000))
    end = OpenLot(Bucket.ROLLING_RESERVE, 7, datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC))
    opening = Opening(
        account=account.id,
        balance=0,
        hold=sum(lot.amount for lot in lots),
        rolling_reserve=7,
        pending_payouts=0,
        reference="old books",
        lots=(*lots, end),
    )
    await story.books.book(opening)
    assert (await schedule(story.database, account.id, now=story.clock)).days == [
        *(ScheduleDay(day(lot.amount).date(), lot.amount, 0, 1) for lot in lots),
        ScheduleDay(date(9998, 12, 31), 0, 7, 1),
    ]


async def test_an_account_without_lots_has_an_empty_schedule(database: Database) -> None:
    """And one that is not there has none."""
    found = await schedule(database, (await open_account(database)).id)
    assert (found.days, found.by_hand, found.due_now, found.time_zone) == ([], held(0, 0), held(0, 0), "UTC")
    with pytest.raises(NotFoundError):
        await schedule(database, uuid.uuid4())


# Explain


async def test_a_hold_is_explained_lot_by_lot(story: Story) -> None:
    """Which payment, which version and percentage of the policy, how much is left, until when; by hand, why."""
    story.clock.at = day(4)
    await story.books.book(Payment(account=story.account.id, amount=1000 * SCALE, reference="p3"))
    story.clock.at = day(4) + timedelta(hours=1)
    await story.books.book(Chargeback(account=story.account.id, payment="p3", amount=20 * SCALE, reference="c1"))
    found = (await explained(story)).hold
    assert found.lots == [
        HeldLot(
            key=LotKey(9, 3),
            bucket=Bucket.HOLD,
            kind=Kind.PAYMENT,
            source="p3",
            reason="",
            made_at=day(4),
            policy=1,
            percent=20 * SCALE,
            amount=units("200"),
            remaining=units("180"),
            due_at=day(6),
        ),
        HeldLot(
            key=LotKey(6, 1),
            bucket=Bucket.HOLD,
            kind=Kind.HOLD_PLACED,
            source="h1",
            reason="a doubt",
            made_at=day(2),
            policy=None,
            percent=None,
            amount=units("10"),
            remaining=units("10"),
            due_at=None,
        ),
    ]
    assert (found.total, found.count, found.others) == (units("190"), 2, Others(0, 0))


async def test_a_lot_keeps_the_percentage_of_the_policy_that_made_it(story: Story) -> None:
    """New terms say nothing of what is held already."""
    terms = Policy(reserve_percent=10 * SCALE, reserve_days=1)
    await story.books.book(SetPolicy(account=story.account.id, policy=terms, reference="terms-2"))
    await story.books.book(Payment(account=story.account.id, amount=1000 * SCALE, reference="p3"))
    reserve = (await explained(story)).rolling_reserve
    assert [(one.source, one.policy, one.percent, one.remaining) for one in reserve.lots] == [
        ("p3", 2, 10 * SCALE, units("100")),
        ("p2", 1, 5 * SCALE, units("25")),
    ]


async def test_what_is_due_is_explained_as_balance(story: Story) -> None:
    """On day 31.25 p2's reserve is in the balance, and no longer in the reserve."""
    story.clock.at = day(31.25)
    found = await explained(story)
    assert (found.rolling_reserve.total, found.rolling_reserve.lots) == (0, [])
    assert [(one.source, one.bucket, one.remaining) for one in found.balance.due] == [
        ("p2", Bucket.ROLLING_RESERVE, units("25"))
    ]
    assert (found.balance.total, found.at, found.sequence) == (units("1025.5"), day(31.25), 8)


async def test_the_balance_is_explained_by_what_moved_it_last(story: Story) -> None:
    """The newest first; what was there before the oldest of them is one sum. The callback of day 3.5 moved nothing."""
    balance = (await explained(story, limit=3)).balance
    assert [(one.sequence, one.kind, one.reference, one.change) for one in balance.movements] == [
        (7, Kind.RELEASE, "release-7", units("100")),
        (6, Kind.HOLD_PLACED, "h1", units("-10")),
        (5, Kind.PAYOUT_CREATED, "o1", units("-101")),
    ]
    assert (balance.total, balance.earlier) == (units("1000.5"), Others(4, units("1011.5")))
    assert (balance.movements[0].effective_at, balance.movements[0].recorded_at) == (day(3.25), day(3.5))
    whole = (await explained(story)).balance
    assert (len(whole.movements), whole.earlier) == (6, Others(1, 0))


async def test_pending_payouts_are_explained_by_age(story: Story) -> None:
    """What other books handed over and what was made by hand too; the oldest first."""
    account = await open_account(story.database)
    story.clock.at = day(5)
    await story.books.book(
        Opening(
            account=account.id,
            balance=7,
            hold=5,
            rolling_reserve=0,
            pending_payouts=30,
            reference="old books",
            lots=(OpenLot(Bucket.HOLD, 5, day(9), "their payment"),),
            payouts=(OpenPayout("a", 10), OpenPayout("b", 20)),
        )
    )
    story.clock.at = day(6)
    await story.books.book(
        Adjustment(account=account.id, bucket=Bucket.PENDING_PAYOUTS, amount=3, reference="c", reason="by phone")
    )
    story.clock.at = day(7)
    found = await explain(story.database, account.id, limit=2, now=story.clock)
    pending = found.pending_payouts
    assert [(one.reference, one.amount, one.by_hand, one.age) for one in pending.payouts] == [
        ("a", 10, False, timedelta(days=2)),
        ("b", 20, False, timedelta(days=2)),
    ]
    assert (pending.total, pending.count, pending.others) == (33, 3, Others(1, 3))
    whole = await explain(story.database, account.id, now=story.clock)
    assert [(one.reference, one.by_hand, one.age) for one in whole.pending_payouts.payouts[2:]] == [
        ("c", True, timedelta(days=1))
    ]
    assert [(one.kind, one.source, one.policy, one.due_at) for one in whole.hold.lots] == [
        (Kind.OPENING, "their payment", None, day(9))
    ]


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
async def test_what_is_listed_and_the_rest_make_the_number(story: Story, limit: int) -> None:
    """However few are listed; the next to fall due first, those by hand last."""
    for number in range(3):
        story.clock.at = day(4 + number / 10)
        await story.books.book(Payment(account=story.account.id, amount=1000 * SCALE, reference=f"x{number}"))
    story.clock.at = day(6.15)  # two of the three holds are due
    found = await explained(story, limit)
    assert [one.source for one in found.hold.lots] == ["x2", "h1"][:limit]
    assert [one.source for one in found.balance.due] == ["x0", "x1"][:limit]
    assert (found.hold.total, found.hold.count) == (units("210"), 2)
    for part in (found.hold, found.rolling_reserve):
        assert sum(one.remaining for one in part.lots) + part.others.total == part.total
        assert len(part.lots) + part.others.count == part.count
    balance = found.balance
    parts = [one.change for one in balance.movements] + [one.remaining for one in balance.due]
    assert sum(parts) + balance.earlier.total + balance.due_others.total == balance.total
    # 1000.5 and three times 711 and two times 200.
    assert balance.total == units("3533.5")


async def test_parts_that_are_not_the_number_are_no_explanation(story: Story) -> None:
    """When somebody changed a lot or a payout in the database, it is said rather than explained away."""
    async with story.database.write() as connection:
        here = (lots.c.account_id == story.account.id, lots.c.sequence == 6)
        await connection.execute(sa.update(lots).where(*here).values(remaining=units("9")))
    with pytest.raises(InvariantError, match="hold"):
        await explained(story)
    async with story.database.write() as connection:
        await connection.execute(sa.update(lots).where(*here).values(remaining=units("10")))
        await connection.execute(
            sa.update(payouts).where(payouts.c.account_id == story.account.id).values(state="pending")
        )
    with pytest.raises(InvariantError, match="pending_payouts"):
        await explained(story)


async def test_what_cannot_be_explained_is_refused(story: Story) -> None:
    """An account that is not there, and lists without end."""
    with pytest.raises(NotFoundError):
        await explain(story.database, uuid.uuid4())
    for limit in (-1, 1001):
        with pytest.raises(InvalidInputError):
            await explained(story, limit)


async def test_an_account_without_entries_has_nothing_to_explain(database: Database) -> None:
    """Four times nothing."""
    found = await explain(database, (await open_account(database)).id)
    assert (found.balance.total, found.balance.movements, found.balance.earlier) == (0, [], Others(0, 0))
    assert (found.hold.count, found.rolling_reserve.count, found.pending_payouts.count) == (0, 0, 0)


# Both


async def test_lots_that_are_gone_are_not_read(sqlite_url: str) -> None:
    """On SQLite open lots are found by their index: an account's closed ones, of years, cost nothing."""
    asked: list[tuple[str, Any]] = []
    async with await Database.open(sqlite_url, create=True) as database:
        story = await tell(database)
        engine = database._engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append((arguments[2], arguments[3])))
        await planned(story)
        await explained(story)
        await balance_at(database, story.account.id, at=day(1), now=story.clock)
        of_open_lots = [one for one in asked if "lots.open" in one[0] and "lots.open = 0" not in one[0]]
        assert len(of_open_lots) >= 5
        async with database.read() as connection:
            for statement, parameters in of_open_lots:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                assert "lots_open_idx" in str(plan.all()), statement
