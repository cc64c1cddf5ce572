"""When held money is released, by day."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket
from alikassa.ledger.questions.reading import (
    find_account,
    lots_of,
    summed,
    time_of,
)
from alikassa.ledger.schema import IN_ORDER_OF_RELEASE, is_open, lots, policies

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = ["Schedule", "ScheduleDay", "schedule"]

_HELD = (Bucket.HOLD, Bucket.ROLLING_RESERVE)


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
    async with database.read() as connection:
        found = await find_account(connection, account)
        at = await time_of(database, connection, now)
        zone = await _time_zone(connection, found)
        by = (lots.c.bucket, lots.c.due_at)
        here = (*lots_of(account), is_open)
        sums = await summed(connection, by, lots.c.remaining, lots, *here, in_order=IN_ORDER_OF_RELEASE)
    by_hand, due_now = dict.fromkeys(_HELD, 0), dict.fromkeys(_HELD, 0)
    days: dict[date, dict[Bucket, int]] = {}
    counts: dict[date, int] = {}
    for (place, due_at), one in sums.items():
        bucket = Bucket(place)
        if due_at is None:
            by_hand[bucket] += one.total
        elif due_at <= at:
            due_now[bucket] += one.total
        else:
            day = _day(due_at, zone)
            days.setdefault(day, dict.fromkeys(_HELD, 0))[bucket] += one.total
            counts[day] = counts.get(day, 0) + one.rows
    return Schedule(
        account=account,
        currency=found.currency,
        time_zone=zone.key,
        at=at,
        days=[
            ScheduleDay(day, held[Bucket.HOLD], held[Bucket.ROLLING_RESERVE], counts[day])
            for day, held in sorted(days.items())
        ],
        by_hand=by_hand,
        due_now=due_now,
    )


async def _time_zone(connection: AsyncConnection, account: Account) -> ZoneInfo:
    name = await connection.scalar(
        sa.select(policies.c.time_zone).where(
            policies.c.lane == lane_of(account.id),
            policies.c.account_id == account.id,
            policies.c.version == account.policy,
        )
    )
    return ZoneInfo(name or "UTC")


def _day(moment: datetime, zone: ZoneInfo) -> date:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:  # the last day of the year 9999, further east
        return moment.date()
