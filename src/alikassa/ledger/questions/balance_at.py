"""What an account's four numbers were, are or will be at a moment."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Bucket

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["BalanceAt", "Basis", "balance_at"]


class Basis(StrEnum):
    """Which entries count by a moment: those recorded by then, or those that took effect by then."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


class BalanceAt(msgspec.Struct, frozen=True):
    """The four numbers at `at`, in units. What was due then is in `balance`, released or not.

    `sequence` is the last entry that had been recorded by then (0: none). By effective time others of the entries up
    to now may count as well, or not.
    """

    account: uuid.UUID
    currency: str
    at: datetime
    by: Basis
    buckets: dict[Bucket, int]
    sequence: int


async def balance_at(
    database: Database,
    account: uuid.UUID,
    *,
    at: datetime | None = None,
    by: Basis = Basis.RECORDED,
    now: Clock | None = None,
) -> BalanceAt:
    """The four numbers at a moment, None for now. The cost is that of the entries after it, not of all.

    By `RECORDED`, the past is exactly what a balance request was answered at that moment; by `EFFECTIVE`, what would
    have been answered had all that is booked by now been booked when it took effect. The future is the present and
    what falls due by then. NotFoundError for an unknown account, InvalidInputError for a time without a zone.
    """
    raise NotImplementedError
