"""When held money is released, by day."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket
from alikassa.ledger.questions.days import day_of, ends_of_days
from alikassa.ledger.questions.open_lots import BUCKETS_OF_LOTS, When, held_in_open_lots
from alikassa.ledger.questions.reading import find_account, lots_of, time_of, time_zones
from alikassa.ledger.questions.sums import packed_sums, unpacked
from alikassa.ledger.questions.wanted import ask
from alikassa.ledger.schema import is_open, lots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.questions.wanted import Wanted

__all__ = ["Schedule", "ScheduleDay", "schedule"]

#: Days that one statement looks at. What falls due long after them is looked for anew.
_DAYS_TOGETHER = 400


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
        zone = (await time_zones(connection, [found]))[account]
        by_hand = await held_in_open_lots(connection, account, at, When.BY_HAND)
        due_now = await held_in_open_lots(connection, account, at, When.DUE)
        days = await _days(connection, account, at, zone)
    return Schedule(
        account=account,
        currency=found.currency,
        time_zone=zone.key,
        at=at,
        days=days,
        by_hand={bucket: one.total for bucket, one in by_hand.items()},
        due_now={bucket: one.total for bucket, one in due_now.items()},
    )


async def _days(connection: AsyncConnection, account: uuid.UUID, at: datetime, zone: ZoneInfo) -> list[ScheduleDay]:
    """What falls due later than `at`, day by day."""
    later = sa.select(lots.c.due_at).where(*lots_of(account), is_open).order_by(lots.c.due_at).limit(1)
    found: list[ScheduleDay] = []
    while (first := await connection.scalar(later.where(lots.c.due_at > at))) is not None:
        ends = ends_of_days(day_of(first, zone), _DAYS_TOGETHER, zone)
        rows = []
        for number, (_, last) in enumerate(ends):
            rows.append((number, lane_of(account), account, at, last))
            at = max(at, last)
        found += await _held_on(connection, [day for day, _ in ends], rows)
    return found


async def _held_on(
    connection: AsyncConnection, days: list[date], rows: Sequence[tuple[int, int, uuid.UUID, datetime, datetime]]
) -> list[ScheduleDay]:
    """Those of the days on which something falls due: after the first time of their rows, up to the second."""
    postgresql = connection.dialect.name == "postgresql"
    cases = [f"bucket = '{bucket}'" for bucket in BUCKETS_OF_LOTS]
    sums_of = packed_sums("remaining", cases, postgresql=postgresql)

    def on_day(given: Wanted) -> str:
        return (
            f"SELECT u.c0, (SELECT {sums_of} FROM lots WHERE lane = {given.lane}"  # noqa: S608
            f" AND account_id = u.c2 AND lots.open AND due_at > u.c3 AND due_at <= u.c4) FROM {given.table}"
        )

    found = []
    for number, packed in await ask(connection, on_day, rows):
        hold, reserve = unpacked(packed, len(cases))
        if hold.rows or reserve.rows:
            found.append(ScheduleDay(days[number], hold.total, reserve.total, hold.rows + reserve.rows))
    return found
