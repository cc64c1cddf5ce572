"""A story that uses every command of the books, on two accounts, over two months."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alikassa.errors import PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import (
    Adjustment,
    Chargeback,
    ChargebackReversal,
    CloseAccount,
    ClosePeriod,
    Command,
    Fee,
    Freeze,
    HoldPlace,
    HoldRelease,
    Opening,
    OpenLot,
    OpenPayout,
    Payment,
    PayoutCancel,
    PayoutCorrect,
    PayoutCreate,
    PayoutFail,
    PayoutPaid,
    PayoutReturn,
    Refund,
    ReserveRelease,
    Reversal,
    SetPolicy,
    Unfreeze,
)
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind, PayoutState
from alikassa.ledger.policy import Base, ClockStart, Policy
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE

__all__ = ["AWKWARD", "FIRST", "SECOND", "Calendar", "tell_story"]

#: One bit apart, and so of one lane.
FIRST = uuid.UUID("93d5df06-996c-48c3-9847-348d6b580b80")
SECOND = uuid.UUID("b3d5df06-996c-48c3-9847-348d6b580b80")
#: What other formats have to quote.
AWKWARD = "or\"der; 1|2, a\\b: ключ=1 # (x) [2026-01-01] %2C 'q' =1+1"

#: 2.5 % and 0.30 of fee, 10 % reserved for 30 days, 20 % held for 5.
POLICY = Policy(
    fee_percent=250_000_000,
    fee_fixed=30_000_000,
    hold_percent=20 * SCALE,
    hold_days=5,
    reserve_percent=10 * SCALE,
    reserve_days=30,
)
DAY_ENDS = Policy(
    hold_percent=15 * SCALE,
    hold_days=2,
    reserve_percent=5 * SCALE,
    reserve_days=7,
    reserve_base=Base.NET,
    time_zone="Europe/Moscow",
    clock_start=ClockStart.DAY_END,
)


@dataclass
class Calendar:
    """A clock that moves by hand."""

    now: datetime = field(default=datetime(2026, 3, 1, 9, 30, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def wait(self, days: float) -> None:
        self.now += timedelta(days=days)


class _Teller:
    def __init__(self, database: Database, calendar: Calendar) -> None:
        self.books = Books(database, calendar)
        self.calendar = calendar

    async def book(self, *commands: Command) -> None:
        for command in commands:
            await self.books.book(command)

    async def contradict(self, command: Command) -> None:
        with pytest.raises(PayoutStateError):
            await self.books.book(command)


async def tell_story(database: Database, calendar: Calendar | None = None) -> Calendar:
    """Book it all, with every kind of entry among it, and some time of every kind of lot and payout."""
    calendar = calendar or Calendar()
    registry = Registry(database, calendar)
    merchant = await registry.add_merchant('Shop "Ромашка"; & Co')
    for account, currency in ((FIRST, "RUB"), (SECOND, "USDT")):
        await registry.open_account(merchant.id, currency, account)
    teller = _Teller(database, calendar)
    await _open(teller)
    await _take_payments(teller)
    await _pay_out(teller)
    await _correct(teller)
    await _close_second(teller)
    await _settle(teller)
    return calendar


async def _open(teller: _Teller) -> None:
    """The first account comes from other books, with lots due at once, later and never, and three payouts."""
    soon = teller.calendar.now + timedelta(days=3)
    lots = (
        OpenLot(Bucket.HOLD, 50 * SCALE, soon - timedelta(days=10), "old-1"),
        OpenLot(Bucket.HOLD, 25 * SCALE, soon),
        OpenLot(Bucket.ROLLING_RESERVE, 75 * SCALE, soon, "old-2"),
        OpenLot(Bucket.ROLLING_RESERVE, 10 * SCALE),
    )
    payouts = tuple(OpenPayout(f"moved-{n}", n * 100 * SCALE, n * SCALE) for n in (1, 2, 3))
    await teller.book(
        Opening(FIRST, 1000 * SCALE, 75 * SCALE, 85 * SCALE, 600 * SCALE, "moved", lots, payouts, "from other books"),
        SetPolicy(FIRST, POLICY, "terms-1", "the contract"),
        SetPolicy(SECOND, DAY_ENDS, "terms-1"),
    )


async def _take_payments(teller: _Teller) -> None:
    earlier = teller.calendar.now - timedelta(days=2)
    await teller.book(
        Payment(FIRST, 200 * SCALE + 1, "p-1", metadata={"order": AWKWARD, "zone": "ru"}),
        Payment(FIRST, 99_99999999, AWKWARD, AWKWARD, effective_at=earlier),
        Payment(FIRST, SCALE, "p-3"),
        Payment(SECOND, 1000 * SCALE, "p-1"),
        Refund(FIRST, "p-1", 60 * SCALE, "r-1", "partly"),
    )
    teller.calendar.wait(4)
    await teller.book(
        SetPolicy(FIRST, DAY_ENDS, "terms-2"),
        Payment(FIRST, 300 * SCALE, "p-4"),
        Chargeback(FIRST, "p-4", 300 * SCALE, "c-1"),
        ChargebackReversal(FIRST, "c-1", "c-1-won"),
        Payment(SECOND, 7, "tiny"),
    )
    teller.calendar.wait(2)
    await teller.book(
        HoldPlace(FIRST, 40 * SCALE, "look", "a look at it"),
        HoldRelease(FIRST, "look-1", "half of it", hold="look", amount=20 * SCALE),
        Payment(FIRST, 80 * SCALE, "p-5"),
        HoldRelease(FIRST, "early", "a good customer", payment="p-5"),
        ReserveRelease(FIRST, "early", "a good customer", payment="p-5", amount=SCALE),
    )


async def _pay_out(teller: _Teller) -> None:
    await teller.book(
        *(PayoutCreate(FIRST, (10 + n) * SCALE, f"out-{n}", fee=n * SCALE // 2) for n in range(7)),
        PayoutCreate(FIRST, 5 * SCALE, AWKWARD, reason=AWKWARD),
        PayoutPaid(FIRST, "out-0", effective_at=teller.calendar.now),
    )
    teller.calendar.wait(1)
    await teller.book(
        PayoutPaid(FIRST, "out-1"),
        PayoutPaid(FIRST, "moved-1"),
        PayoutPaid(FIRST, "moved-2"),
        PayoutFail(FIRST, "out-2", "no such account"),
        PayoutFail(FIRST, "moved-3"),
        PayoutCancel(FIRST, "out-3"),
        PayoutPaid(FIRST, "out-4"),
        PayoutReturn(FIRST, "out-4"),
        PayoutReturn(FIRST, "moved-2", metadata={"bank": "closed"}),
    )
    await teller.contradict(PayoutPaid(FIRST, "out-2"))
    await teller.contradict(PayoutPaid(FIRST, "out-2"))
    await teller.contradict(PayoutFail(FIRST, "out-1"))
    await teller.book(
        PayoutCorrect(FIRST, "out-2", PayoutState.PAID, "fix-1", "the bank's list"),
        # Of three payouts that one entry made, and of two that stood alike.
        PayoutCorrect(FIRST, "moved-3", PayoutState.CANCELLED, "fix-2", "it was we", metadata={"by": "me"}),
        PayoutCorrect(FIRST, "moved-2", PayoutState.PAID, "fix-3", "twice", effective_at=teller.calendar.now),
        PayoutReturn(FIRST, "out-2"),
    )


async def _correct(teller: _Teller) -> None:
    """Adjustments in every bucket, drawn on and undone."""
    await teller.book(
        Fee(FIRST, 3 * SCALE, "fee-1", "a letter"),
        Fee(FIRST, 5000 * SCALE, "fee-2", "a fine", overdraw=True),
        Reversal(FIRST, Kind.FEE, "fee-2", "fee-2-back", "not ours", effective_at=teller.calendar.now),
    )
    for bucket in Bucket:
        await teller.book(
            Adjustment(FIRST, bucket, 30 * SCALE, f"adj-{bucket}", "by hand"),
            Adjustment(FIRST, bucket, 12 * SCALE, f"more-{bucket}", "by hand"),
            Adjustment(FIRST, bucket, -35 * SCALE, f"less-{bucket}", "by hand"),
        )
    await teller.book(
        *(Reversal(FIRST, Kind.ADJUSTMENT, f"less-{bucket}", f"undo-{bucket}", "a slip") for bucket in Bucket),
        Reversal(FIRST, Kind.ADJUSTMENT, "more-pending_payouts", "undo-more", "a slip"),
        Reversal(FIRST, Kind.FEE, "fee-1", "undo-fee", "a slip"),
        PayoutPaid(FIRST, "adj-pending_payouts"),
        Freeze(FIRST, "freeze", "police"),
        Payment(FIRST, 100 * SCALE, "p-frozen"),
        Unfreeze(FIRST, "unfreeze", "police gone"),
        ClosePeriod(FIRST, teller.calendar.now - timedelta(days=1), "february", "reported"),
    )


async def _close_second(teller: _Teller) -> None:
    """All that is left is paid out once it fell due, and then the account is closed and hears of a returned payout."""
    teller.calendar.wait(20)
    await teller.book(
        PayoutCreate(SECOND, 1000 * SCALE + 7, "all"),
        PayoutPaid(SECOND, "all"),
        CloseAccount(SECOND, "close", "moved away"),
        PayoutReturn(SECOND, "all"),
        ClosePeriod(SECOND, teller.calendar.now, "march"),
    )


async def _settle(teller: _Teller) -> None:
    """A lot is drawn on, falls due, and is given back what was drawn in a period that was closed meanwhile."""
    await teller.books.sweep()
    await teller.book(
        SetPolicy(FIRST, POLICY, "terms-3"),
        Payment(FIRST, 500 * SCALE, "p-6"),
        Adjustment(FIRST, Bucket.HOLD, -60 * SCALE, "late", "by hand"),
    )
    teller.calendar.wait(6)
    await teller.books.sweep()
    await teller.book(
        ClosePeriod(FIRST, teller.calendar.now, "march", "reported"),
        Reversal(FIRST, Kind.ADJUSTMENT, "late", "undo-late", "a slip"),
        Payment(FIRST, 500 * SCALE, "p-7"),
        Freeze(FIRST, "again", "a court"),
    )
