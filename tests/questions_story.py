"""A small story to ask the books about, worked by hand. Amounts are whole, or end in .5.

                      balance    hold  reserve  pending   what
day 0    2 payment p1     711     200       50        0   1000: fee 39, reserve until day 30, hold until day 2
day 1    3 refund r1      661       0        0        0   300 of p1: its hold, its reserve, 50 of the balance
day 1.25 4 payment p2  1011.5     100       25        0   500: fee 24.5, reserve until 31.25, hold until 3.25
day 1.5  5 payout o1    910.5     100       25      100   100, fee 1
day 2    6 hold h1      900.5     110       25      100   10, by hand
day 3.5  7 release     1000.5      10       25      100   p2's hold, due on day 3.25
         8 paid o1     1000.5      10       25        0
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alikassa.ledger.books import Books
from alikassa.ledger.commands import HoldPlace, Payment, PayoutCreate, PayoutPaid, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Account, Bucket
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE, to_units

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
POLICY = Policy(
    fee_percent=to_units("2.9"),
    fee_fixed=10 * SCALE,
    hold_percent=20 * SCALE,
    hold_days=2,
    reserve_percent=5 * SCALE,
    reserve_days=30,
)


class MovingClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Story:
    """The books after the story, and their clock, which stands at day 3.5."""

    database: Database
    books: Books
    clock: MovingClock
    account: Account


def new_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Empty books on the engine that is the fixture's parameter."""
    url: str = request.getfixturevalue("copy_migrated")(
        request.param, tmp_path_factory.mktemp("questions") / "books.db"
    )
    return url


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def units(text: str) -> int:
    return to_units(text)


def four(*amounts: float) -> dict[Bucket, int]:
    """Balance, hold, reserve and pending payouts, in whole or half units of the currency."""
    return {bucket: int(Decimal(amount) * SCALE) for bucket, amount in zip(BUCKETS, amounts, strict=True)}


async def open_account(database: Database, currency: str = "RUB") -> Account:
    registry = Registry(database, MovingClock())
    merchant = await registry.add_merchant("Shop")
    return await registry.open_account(merchant.id, currency)


async def tell(database: Database) -> Story:
    """Book the story."""
    account = (await open_account(database)).id
    clock = MovingClock(day(0) - timedelta(hours=1))
    books = Books(database, clock)
    for number, command in (
        (-0.5, SetPolicy(account=account, policy=POLICY, reference="terms")),
        (0, Payment(account=account, amount=1000 * SCALE, reference="p1")),
        (1, Refund(account=account, payment="p1", amount=300 * SCALE, reference="r1")),
        (1.25, Payment(account=account, amount=500 * SCALE, reference="p2")),
        (1.5, PayoutCreate(account=account, amount=100 * SCALE, fee=SCALE, reference="o1")),
        (2, HoldPlace(account=account, amount=10 * SCALE, reference="h1", reason="a doubt")),
        (3.5, PayoutPaid(account=account, reference="o1")),
    ):
        clock.at = day(number)
        booked = await books.book(command)
    return Story(database, books, clock, booked.account)
