"""Two shops' months, as they would be booked: payments under a policy, refunds, a chargeback, payouts in every state.

Each is booked at its own moment, by a clock that goes through the months: what the books say of any day is what they
would have answered then. The days are drawn from a seed: the story is the same each time, and its end moves with today.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.commands import (
    Chargeback,
    Payment,
    PayoutCancel,
    PayoutCreate,
    PayoutFail,
    PayoutPaid,
    PayoutReturn,
    Refund,
    SetPolicy,
)
from alikassa.ledger.model import Bucket
from alikassa.ledger.policy import Policy
from alikassa.money import SCALE, to_units

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from alikassa.ledger.books import Books
    from alikassa.ledger.commands import Command
    from alikassa.ledger.model import Booked

__all__ = ["POLICY", "StoryClock", "live_start", "page_start", "tell_live", "tell_page"]

#: Fee 2.9 % + 10, hold 20 % for 2 days, rolling reserve 5 % for 30 days.
POLICY = Policy(
    fee_percent=to_units("2.9"),
    fee_fixed=to_units("10"),
    hold_percent=to_units("20"),
    hold_days=2,
    reserve_percent=to_units("5"),
    reserve_days=30,
)
_PAYOUT_FEE = to_units("25")
#: What the page's answer shows: the balance, and what waits in payouts.
_BALANCE, _PENDING = to_units("93.84"), (to_units("1000"), to_units("234"))
_SEED = 20_260


class StoryClock:
    """The time of the story: it stands where the last thing happened."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def __call__(self) -> datetime:
        return self._at

    def go_to(self, at: datetime) -> None:
        self._at = max(self._at, at)


class _Shop:
    """One account's story: what happens to it, planned day by day, then booked in the order of time."""

    def __init__(self, books: Books, clock: StoryClock, account: uuid.UUID, start: datetime, seed: int) -> None:
        self._books = books
        self._clock = clock
        self._account = account
        self._random = random.Random(seed)  # noqa: S311 - a story, no secret
        self._start = start
        self._orders = 0
        self._sold: list[tuple[str, int]] = []
        self._planned: list[tuple[datetime, Command]] = []
        self.booked = 0

    def plan(self, at: datetime, command: Command) -> None:
        self._planned.append((at, msgspec.structs.replace(command, effective_at=at)))

    async def book(self, at: datetime, command: Command) -> Booked:
        self._clock.go_to(at)
        self.booked += 1
        return await self._books.book(msgspec.structs.replace(command, effective_at=at))

    async def play(self, progress: Callable[[int], None] | None = None) -> None:
        """Book what is planned. At each midnight what fell due during the day is released."""
        day = 0
        for at, command in sorted(self._planned, key=lambda one: one[0]):
            while self.at(day + 1, 0) <= at:
                day += 1
                self._clock.go_to(self.at(day, 0))
                await self._books.sweep()
                if progress is not None:
                    progress(day)
            await self.book(at, command)
        self._planned.clear()

    def at(self, day: int, hour: int, minute: int = 0) -> datetime:
        return self._start + timedelta(days=day, hours=hour, minutes=minute)

    def sell(self, day: int, *, until: datetime | None = None) -> None:
        """One day's orders, more of them towards the weekend."""
        count = 4 + self._random.randrange(6) + (4 if self.at(day, 10).weekday() >= 4 else 0)
        minutes = sorted(self._random.sample(range(8 * 60, 23 * 60), count))
        for minute in minutes:
            at = self.at(day, 0, minute) + timedelta(seconds=self._random.randrange(60))
            if until is not None and at > until:
                break
            self._orders += 1
            reference = f"order-{self._orders:04d}"
            # Many small baskets and a few large ones, in kopecks.
            amount = int(self._random.lognormvariate(7.2, 0.8) * 100) * SCALE // 100
            self._sold.append((reference, amount))
            self.plan(at, Payment(self._account, amount, reference))

    def refund(self, day: int, part: int) -> None:
        """The customer of some recent order gets `part` percent back."""
        reference, amount = self._sold[-2 - self._random.randrange(4)]
        give = amount * part // 100
        self.plan(self.at(day, 23, 10), Refund(self._account, reference, give, f"refund-{reference}", "returned goods"))

    def chargeback(self, day: int) -> None:
        """The bank takes a recent order back."""
        reference, amount = self._sold[-12]
        command = Chargeback(self._account, reference, amount, f"dispute-{reference}", "not as described")
        self.plan(self.at(day, 23, 20), command)

    def pay_out(self, day: int, reference: str, amount: int, *ends: type[Command], fee: int = 0) -> None:
        """A payout, and what the bank said of it on the days after."""
        self.plan(self.at(day, 9), PayoutCreate(self._account, amount, reference, fee=fee))
        for later, end in enumerate(ends, 1):
            self.plan(self.at(day + later, 11), end(account=self._account, reference=reference))  # type: ignore[call-arg]


async def tell_page(books: Books, clock: StoryClock, account: uuid.UUID, now: datetime) -> int:
    """The page's account: it stopped selling more than 30 days ago, so hold and reserve have come back.

    It ends at the page's numbers, because the merchant has paid out all but these. How many commands were booked.
    """
    shop = _Shop(books, clock, account, page_start(now), _SEED)
    shop.plan(shop.at(0, 0), SetPolicy(account, POLICY, "terms-1", "contract"))
    for day in range(33):
        shop.sell(day)
        if day in (9, 16, 24):
            shop.refund(day, 50 if day == 16 else 100)
    shop.chargeback(33)
    shop.pay_out(14, "payout-1", to_units("40000"), PayoutPaid, fee=_PAYOUT_FEE)
    shop.pay_out(21, "payout-2", to_units("25000"), PayoutFail, fee=_PAYOUT_FEE)
    shop.pay_out(23, "payout-3", to_units("25000"), PayoutPaid, fee=_PAYOUT_FEE)
    first, second = _PENDING
    shop.pay_out(64, "payout-5", first)
    await shop.play()
    booked = await shop.book(shop.at(64, 9, 5), PayoutCreate(account, second, "payout-6"))
    left = booked.account.buckets[Bucket.BALANCE] - _BALANCE
    await shop.book(shop.at(64, 9, 10), PayoutCreate(account, left, "payout-4"))
    await shop.book(shop.at(65, 11), PayoutPaid(account, "payout-4"))
    return shop.booked


def page_start(now: datetime) -> datetime:
    """When the page's account opens."""
    return _midnight(now) - timedelta(days=66)


async def tell_live(
    books: Books,
    clock: StoryClock,
    account: uuid.UUID,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> int:
    """A shop that trades up to now, with payouts in every state. How many commands were booked."""
    shop = _Shop(books, clock, account, live_start(now), _SEED + 1)
    shop.plan(shop.at(0, 0), SetPolicy(account, POLICY, "terms-1", "contract"))
    payouts: dict[int, tuple[type[Command], ...]] = {
        7: (PayoutPaid,),
        11: (PayoutFail,),
        14: (PayoutPaid, PayoutReturn),
        18: (PayoutCancel,),
        21: (PayoutPaid,),
        28: (PayoutPaid,),
        30: (),
    }
    for day in range(32):
        if day in payouts:
            shop.pay_out(day, f"payout-{day:02d}", to_units("20000"), *payouts[day], fee=_PAYOUT_FEE)
        shop.sell(day, until=now)
        if day in (5, 12, 19, 26):
            shop.refund(day, 100 if day != 19 else 40)
        if day == 23:
            shop.chargeback(day)
    await shop.play(progress)
    return shop.booked


def live_start(now: datetime) -> datetime:
    """When the shop that trades today opens."""
    return _midnight(now) - timedelta(days=31)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
