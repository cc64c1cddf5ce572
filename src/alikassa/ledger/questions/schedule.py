"""When held money is released, by day."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Bucket

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["Schedule", "ScheduleDay", "schedule"]


class ScheduleDay(msgspec.Struct, frozen=True):
    """What falls due on one day of the account's time zone, out of how many lots."""

    day: date
    hold: int
    rolling_reserve: int
    lots: int


class Schedule(msgspec.Struct, frozen=True):
    """Every open lot, in exactly one place, as of `at`: `due_now` is in the balance already, and not yet booked there;
    `days` fall due, the next first; `by_hand` is released only by hand. Together they are `hold` and
    `rolling_reserve` as booked; both dicts have these two buckets.
    """

    account: uuid.UUID
    currency: str
    time_zone: str
    at: datetime
    days: list[ScheduleDay]
    by_hand: dict[Bucket, int]
    due_now: dict[Bucket, int]


async def schedule(database: Database, account: uuid.UUID, *, now: Clock | None = None) -> Schedule:
    """Days are those of the time zone of the account's present policy (UTC without one). NotFoundError for an unknown
    account."""
    raise NotImplementedError
