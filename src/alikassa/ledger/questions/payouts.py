"""Payouts, and what banks said against them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Discrepancy, Payout, PayoutState

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = [
    "MOST_PAYOUTS",
    "DiscrepancyPage",
    "ListedDiscrepancy",
    "ListedPayout",
    "PayoutPage",
    "discrepancies",
    "payouts",
]

#: Payouts, or discrepancies, of one page at most.
MOST_PAYOUTS = 1000


class ListedPayout(msgspec.Struct, frozen=True):
    """A payout, whose it is, and in which currency."""

    account: uuid.UUID
    currency: str
    payout: Payout


class PayoutPage(msgspec.Struct, frozen=True):
    """Account by account, each one's in the order of making. Ages count to `at`. `cursor` is None at the end."""

    at: datetime
    payouts: list[ListedPayout]
    cursor: str | None


class ListedDiscrepancy(msgspec.Struct, frozen=True):
    """A discrepancy, and the payout's amount without its fee, in which currency."""

    currency: str
    amount: int
    discrepancy: Discrepancy


class DiscrepancyPage(msgspec.Struct, frozen=True):
    """Account by account, payout by payout. `cursor` is None at the end."""

    discrepancies: list[ListedDiscrepancy]
    cursor: str | None


async def payouts(
    database: Database,
    account: uuid.UUID | None = None,
    *,
    state: PayoutState | None = None,
    older_than: timedelta | None = None,
    after: str | None = None,
    limit: int = 100,
    now: Clock | None = None,
) -> PayoutPage:
    """An account's payouts, or all; only those in a state, or made at least `older_than` ago.

    `after` is the cursor of the page before, of the same question. NotFoundError for an unknown account,
    InvalidInputError for a cursor that is not this question's and for a limit outside 1 to `MOST_PAYOUTS`.
    """
    raise NotImplementedError


async def discrepancies(
    database: Database,
    account: uuid.UUID | None = None,
    *,
    open_only: bool = True,
    after: str | None = None,
    limit: int = 100,
) -> DiscrepancyPage:
    """An account's discrepancies, or all; open ones, or with those that a correction has closed.

    Cursor, limit and errors as in `payouts`.
    """
    raise NotImplementedError
