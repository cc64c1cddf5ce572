"""Over a long random story, what is said of each moment afterwards is what was answered then."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alikassa.errors import AlikassaError
from alikassa.ledger import snapshots
from alikassa.ledger.books import Books
from alikassa.ledger.commands import (
    Adjustment,
    Chargeback,
    ChargebackReversal,
    Command,
    Fee,
    HoldPlace,
    HoldRelease,
    Payment,
    PayoutCreate,
    PayoutFail,
    PayoutPaid,
    PayoutReturn,
    Refund,
    ReserveRelease,
    Reversal,
    SetPolicy,
)
from alikassa.ledger.database import Database
from alikassa.ledger.model import HELD, Account, Bucket, Kind
from alikassa.ledger.policy import ClockStart, Policy
from alikassa.ledger.questions import entries
from alikassa.ledger.questions.balance_at import balance_at
from alikassa.ledger.questions.daily import daily_balances
from alikassa.ledger.questions.explain import explain
from alikassa.ledger.questions.schedule import schedule
from alikassa.ledger.questions.statement import StatementLine, statement
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE, to_units
from questions_story import POLICY, MovingClock, day, open_account

pytestmark = pytest.mark.anyio

STEPS = 120
#: Moments that are asked for afterwards.
ASKED = 60
Numbers = dict[Bucket, int]


@dataclass
class History:
    """What was answered at which moment, and what the account stood at after each entry that was booked."""

    account: Account
    clock: MovingClock
    answered: list[tuple[datetime, Numbers]] = field(default_factory=list)
    booked: dict[int, Numbers] = field(default_factory=dict)


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Snapshots are close together, and few entries are looked through for lines of some kinds."""
    monkeypatch.setattr(snapshots, "EVERY", 8)
    monkeypatch.setattr(entries, "_LOOKED_THROUGH", 3)
    async with await Database.open(migrated_url) as opened:
        yield opened


def some_command(dice: random.Random, account: Account, step: int, now: datetime) -> Command:
    """Anything, of something earlier; many are refused, as they are in life."""
    id_, reference, amount = account.id, f"s{step}", dice.randrange(1, 50_000) * SCALE // 100
    earlier = f"s{dice.randrange(max(step - 40, 0), step + 1)}"
    late = now - timedelta(hours=dice.randrange(0, 120)) if dice.random() < 0.3 else None
    change = dice.choice([-1, 1]) * amount
    bucket = dice.choice(list(Bucket))
    reason = "by chance"
    choices: list[tuple[int, Command]] = [
        (12, Payment(account=id_, amount=4 * amount, reference=reference, effective_at=late)),
        (3, Refund(account=id_, payment=earlier, amount=amount, reference=reference)),
        (3, Chargeback(account=id_, payment=earlier, amount=2 * amount, reference=reference)),
        (1, ChargebackReversal(account=id_, chargeback=earlier, reference=reference)),
        (2, HoldPlace(account=id_, amount=amount, reference=reference, reason=reason)),
        (2, HoldRelease(account=id_, payment=earlier, reference=reference, reason=reason)),
        (1, HoldRelease(account=id_, hold=earlier, reference=reference, reason=reason)),
        (1, ReserveRelease(account=id_, payment=earlier, reference=reference, reason=reason)),
        (5, PayoutCreate(account=id_, amount=amount, fee=SCALE, reference=reference)),
        (3, PayoutPaid(account=id_, reference=earlier)),
        (2, PayoutFail(account=id_, reference=earlier)),
        (1, PayoutReturn(account=id_, reference=earlier)),
        (1, Fee(account=id_, amount=amount, overdraw=True, reference=reference, reason=reason)),
        (
            3,
            Adjustment(account=id_, bucket=bucket, amount=change, reference=reference, reason=reason),
        ),
        (2, Reversal(account=id_, of_kind=Kind.ADJUSTMENT, of=earlier, reference=reference, reason=reason)),
        (1, SetPolicy(account=id_, policy=some_policy(dice), reference=reference)),
    ]
    return dice.choices([command for _, command in choices], [weight for weight, _ in choices])[0]


def some_policy(dice: random.Random) -> Policy:
    return Policy(
        fee_percent=dice.randrange(0, 5 * SCALE),
        hold_percent=dice.randrange(0, 50 * SCALE),
        hold_days=dice.randrange(0, 4),
        reserve_percent=dice.randrange(0, 10 * SCALE),
        reserve_days=dice.randrange(0, 12),
        time_zone=dice.choice(["UTC", "Europe/Berlin", "Pacific/Auckland"]),
        clock_start=dice.choice(list(ClockStart)),
    )


async def live(database: Database, dice: random.Random) -> History:
    """Command after command, and after each some moments at which the balance is asked for, as a merchant does it."""
    clock = MovingClock()
    history = History(await open_account(database), clock)
    books = Books(database, clock)
    reader = reader_for(database, clock)

    async def answer() -> None:
        found = await reader.find(str(history.account.id))
        assert found is not None
        history.answered.append((clock.at, {bucket: to_units(getattr(found, bucket)) for bucket in Bucket}))

    await books.book(SetPolicy(account=history.account.id, policy=POLICY, reference="terms"))
    for step in range(STEPS):
        await answer()
        clock.at += timedelta(minutes=dice.randrange(1, 1200))
        await answer()
        clock.at += timedelta(seconds=1)
        try:
            booked = await books.book(some_command(dice, history.account, step, clock.at))
        except AlikassaError:
            pass
        else:
            if not booked.repeated:
                # As it is booked: what is due and not released yet is in no entry.
                stands = await Registry(database).account(history.account.id)
                history.booked[booked.entry.sequence] = stands.buckets
        # A release and a command of one instant are recorded a microsecond apart.
        clock.at += timedelta(seconds=1)
    clock.at += timedelta(days=2)
    await answer()
    await reader.close()
    return history


async def test_what_is_said_of_a_moment_is_what_was_answered_then(database: Database) -> None:
    """Balances at past moments are the answers of those moments; statements agree with what was booked, however they
    are paged and whatever is chosen; days end with what was booked by then; explanation and schedule agree with the
    last answer."""
    dice = random.Random(1)  # noqa: S311 - the same story each time
    history = await live(database, dice)
    assert len(history.booked) > STEPS / 3
    assert len({tuple(numbers.values()) for _, numbers in history.answered}) > STEPS / 2
    for moment, numbers in dice.sample(history.answered, ASKED):
        said = await balance_at(database, history.account.id, at=moment, now=history.clock)
        assert said.buckets == numbers, moment
    lines = await check_statement(database, history, dice)
    await check_kinds(database, history, dice, lines)
    await check_days(database, history, lines)
    await check_parts(database, history)


async def check_statement(database: Database, history: History, dice: random.Random) -> list[StatementLine]:
    """The whole, by pages of any size in both directions, and some periods of it. The lines, the newest first."""
    id_ = history.account.id
    for newest in (False, True):
        after: str | None = None
        seen: dict[int, Numbers] = {}
        lines: list[StatementLine] = []
        while True:
            page = await statement(database, id_, after=after, limit=dice.choice([1, 7, 50]), newest=newest)
            lines += page.lines
            for line in page.lines:
                before = seen.get(line.entry.sequence - 1, page.opening if line.entry.sequence == 1 else None)
                if before is not None:
                    changed = {bucket: before[bucket] + line.changes.get(bucket, 0) for bucket in Bucket}
                    assert line.balances == changed
                seen[line.entry.sequence] = line.balances
            after = page.cursor
            if after is None:
                break
        assert sorted(seen) == list(range(1, page.count + 1))
        assert {number: seen[number] for number in history.booked} == history.booked
        assert seen[page.count] == page.closing
    for _ in range(10):
        start, end = sorted(dice.choice(history.answered)[0] for _ in range(2))
        period = await statement(database, id_, start=start, end=end, limit=1000)
        numbers = dict(period.opening)
        for line in period.lines:
            assert start <= line.entry.recorded_at < end
            for bucket, change in line.changes.items():
                numbers[bucket] += change
        assert numbers == period.closing
        assert period.closing == (period.lines[-1].balances if period.lines else period.opening)
    return lines


async def check_kinds(database: Database, history: History, dice: random.Random, lines: list[StatementLine]) -> None:
    """Lines of some kinds are those of the whole statement, page after page in both directions."""
    for kinds in ([Kind.PAYMENT], [Kind.POLICY_SET, Kind.REVERSAL], [Kind.RELEASE, Kind.REFUND], [Kind.OPENING]):
        chosen = [line for line in lines if line.entry.kind in kinds]
        assert chosen or Kind.OPENING in kinds
        for newest in (False, True):
            after: str | None = None
            found: list[StatementLine] = []
            while True:
                page = await statement(
                    database, history.account.id, kinds=kinds, after=after, limit=dice.choice([1, 3]), newest=newest
                )
                found += page.lines
                after = page.cursor
                if after is None:
                    break
            assert found == (chosen if newest else chosen[::-1])


async def check_days(database: Database, history: History, lines: list[StatementLine]) -> None:
    """Each day ends with its last line."""
    zone = ZoneInfo((await schedule(database, history.account.id, now=history.clock)).time_zone)
    today = history.clock().astimezone(zone).date()
    found = await daily_balances(database, history.account.id, days=100, now=history.clock)
    assert [one.day for one in found] == [today - timedelta(days=number) for number in range(100, -1, -1)]
    sequences = {one.sequence for one in found}
    assert len(sequences) > STEPS / 4
    for one in found:
        line = next((line for line in lines if line.entry.recorded_at.astimezone(zone).date() <= one.day), None)
        numbers = dict.fromkeys(Bucket, 0) if line is None else line.balances
        assert {bucket: getattr(one, bucket) for bucket in Bucket} == numbers
        assert one.sequence == (0 if line is None else line.entry.sequence)


async def check_parts(database: Database, history: History) -> None:
    """At the end, and when everything that ever falls due is due."""
    moment, numbers = history.answered[-1]
    for clock in (MovingClock(moment), MovingClock(day(4000))):
        said = await balance_at(database, history.account.id, at=clock.at, now=history.clock)
        found = await explain(database, history.account.id, limit=5, now=clock)
        totals = [found.balance.total, found.hold.total, found.rolling_reserve.total, found.pending_payouts.total]
        assert totals == list(said.buckets.values())
        plan = await schedule(database, history.account.id, now=clock)
        for bucket in HELD[:2]:
            left = plan.by_hand[bucket] + sum(getattr(one, bucket) for one in plan.days)
            assert left == said.buckets[bucket]
    assert numbers != said.buckets
