"""What each of an account's four numbers is made up of."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Bucket, Kind, LotKey

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = [
    "MOST_ITEMS",
    "BalanceExplained",
    "Explanation",
    "HeldExplained",
    "HeldLot",
    "Movement",
    "Others",
    "PendingExplained",
    "PendingPayout",
    "explain",
]

#: Items a number that can be asked for.
MOST_ITEMS = 1000


class Others(msgspec.Struct, frozen=True):
    """What is not listed: how many, and their sum in units."""

    count: int
    total: int


class HeldLot(msgspec.Struct, frozen=True):
    """A lot and where it is from: `kind` and `reason` are those of the entry that made it, at `made_at` (effective).

    `source` is the payment's reference, or whatever it was held from by hand or brought from other books. `percent`
    is what the policy `version` says, in 10^-8 percent; both are None for what no policy holds. `due_at` None:
    released only by hand.
    """

    key: LotKey
    bucket: Bucket
    kind: Kind
    source: str
    reason: str
    made_at: datetime
    policy: int | None
    percent: int | None
    amount: int
    remaining: int
    due_at: datetime | None


class Movement(msgspec.Struct, frozen=True):
    """An entry that moved the balance, and by how much."""

    sequence: int
    kind: Kind
    reference: str
    reason: str
    effective_at: datetime
    recorded_at: datetime
    change: int


class PendingPayout(msgspec.Struct, frozen=True):
    """A payout under way. `age` is how long it has been."""

    key: LotKey
    reference: str
    amount: int
    by_hand: bool
    created_at: datetime
    age: timedelta


class BalanceExplained(msgspec.Struct, frozen=True):
    """`total` = `earlier` + `movements` + `due` + `due_others`.

    `movements` are the last ones, the newest first. `earlier` is what the balance stood at before the oldest of them,
    and how many entries of any kind the account had by then. `due` are lots that are due and not yet released by an
    entry, the longest due first: they can be spent.
    """

    total: int
    movements: list[Movement]
    earlier: Others
    due: list[HeldLot]
    due_others: Others


class HeldExplained(msgspec.Struct, frozen=True):
    """`total` = what remains of `lots` + `others`. The next to fall due first, those held by hand last."""

    total: int
    count: int
    lots: list[HeldLot]
    others: Others


class PendingExplained(msgspec.Struct, frozen=True):
    """`total` = `payouts` + `others`. The oldest first."""

    total: int
    count: int
    payouts: list[PendingPayout]
    others: Others


class Explanation(msgspec.Struct, frozen=True):
    """The four numbers as they would be answered at `at`, after entry `sequence`."""

    account: uuid.UUID
    currency: str
    at: datetime
    sequence: int
    balance: BalanceExplained
    hold: HeldExplained
    rolling_reserve: HeldExplained
    pending_payouts: PendingExplained


async def explain(database: Database, account: uuid.UUID, *, limit: int = 20, now: Clock | None = None) -> Explanation:
    """Each number as the list of what makes it up, up to `limit` items a list, and the sum of the rest.

    NotFoundError for an unknown account, InvalidInputError for a limit outside 0 to `MOST_ITEMS`.
    """
    raise NotImplementedError
