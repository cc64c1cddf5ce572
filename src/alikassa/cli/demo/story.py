"""Two shops' months, as they would be booked: payments under a policy, refunds, a chargeback, payouts in every state.

Everything is a command with the effect date of its day, as for a business whose days are booked late. The days are
drawn from a seed: the story is the same each time, only its end moves with today.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

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

__all__ = ["POLICY", "tell_live", "tell_page"]

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


class _Shop:
    """One account's story: what is booked on it, day after day."""

    def __init__(self, books: Books, account: uuid.UUID, start: datetime, seed: int) -> None:
        self._books = books
        self._account = account
        self._random = random.Random(seed)  # noqa: S311 - a story, no secret
        self._start = start
        self._orders = 0
        self._sold: list[tuple[str, int]] = []
        self.booked = 0

    async def book(self, command: Command) -> Booked:
        self.booked += 1
        return await self._books.book(command)

    def at(self, day: int, hour: int = 10) -> datetime:
        return self._start + timedelta(days=day, hours=hour)

    async def sell(self, day: int, *, until: datetime | None = None) -> None:
        """One day's orders, more of them towards the weekend."""
        count = 4 + self._random.randrange(6) + (4 if self.at(day).weekday() >= 4 else 0)
        minutes = sorted(self._random.sample(range(8 * 60, 23 * 60), count))
        commands = []
        for minute in minutes:
            at = self._start + timedelta(days=day, minutes=minute, seconds=self._random.randrange(60))
            if until is not None and at > until:
                break
            self._orders += 1
            reference = f"order-{self._orders:04d}"
            # Many small baskets and a few large ones, in kopecks.
            amount = int(self._random.lognormvariate(7.2, 0.8) * 100) * SCALE // 100
            self._sold.append((reference, amount))
            commands.append(Payment(self._account, amount, reference, effective_at=at))
        await asyncio.gather(*(self.book(command) for command in commands))

    async def refund(self, day: int, part: int) -> None:
        """The customer of some recent order gets `part` percent back."""
        reference, amount = self._sold[-2 - self._random.randrange(4)]
        give = amount * part // 100
        await self.book(
            Refund(
                self._account, reference, give, f"refund-{reference}", "returned goods", effective_at=self.at(day, 18)
            )
        )

    async def chargeback(self, day: int) -> None:
        """The bank takes a recent order back."""
        reference, amount = self._sold[-12]
        await self.book(
            Chargeback(
                self._account,
                reference,
                amount,
                f"dispute-{reference}",
                "not as described",
                effective_at=self.at(day, 15),
            )
        )

    async def pay_out(self, day: int, reference: str, amount: int, *ends: type[Command], fee: int = 0) -> Booked:
        """A payout, and what the bank said of it on the days after."""
        created = PayoutCreate(self._account, amount, reference, fee=fee, effective_at=self.at(day, 9))
        booked = await self.book(created)
        for later, end in enumerate(ends, 1):
            booked = await self.book(
                end(account=self._account, reference=reference, effective_at=self.at(day + later, 11))  # type: ignore[call-arg]
            )
        return booked


async def tell_page(books: Books, account: uuid.UUID, now: datetime) -> int:
    """The page's account: it stopped selling more than 30 days ago, so hold and reserve have come back.

    It ends at the page's numbers, because the merchant has paid out all but these. How many commands were booked.
    """
    shop = _Shop(books, account, _midnight(now) - timedelta(days=66), _SEED)
    await shop.book(SetPolicy(account, POLICY, "terms-1", "contract"))
    for day in range(33):
        await shop.sell(day)
        if day in (9, 16, 24):
            await shop.refund(day, 50 if day == 16 else 100)
    await shop.chargeback(33)
    await shop.pay_out(14, "payout-1", to_units("40000"), PayoutPaid, fee=_PAYOUT_FEE)
    await shop.pay_out(21, "payout-2", to_units("25000"), PayoutFail, fee=_PAYOUT_FEE)
    await shop.pay_out(22, "payout-3", to_units("25000"), PayoutPaid, fee=_PAYOUT_FEE)
    first, second = _PENDING
    await shop.pay_out(64, "payout-5", first)
    left = (await shop.pay_out(64, "payout-6", second)).account.buckets[Bucket.BALANCE]
    await shop.pay_out(64, "payout-4", left - _BALANCE, PayoutPaid)
    return shop.booked


async def tell_live(
    books: Books, account: uuid.UUID, now: datetime, progress: Callable[[int], None] | None = None
) -> int:
    """A shop that trades up to now, with payouts in every state. How many commands were booked."""
    shop = _Shop(books, account, _midnight(now) - timedelta(days=31), _SEED + 1)
    await shop.book(SetPolicy(account, POLICY, "terms-1", "contract"))
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
            amount = to_units("60000") if day > 7 else to_units("20000")
            await shop.pay_out(day, f"payout-{day:02d}", amount, *payouts[day], fee=_PAYOUT_FEE)
        if day in (5, 12, 19, 26):
            await shop.refund(day, 100 if day != 19 else 40)
        if day == 23:
            await shop.chargeback(day)
        await shop.sell(day, until=now)
        if progress is not None:
            progress(day)
    return shop.booked


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
