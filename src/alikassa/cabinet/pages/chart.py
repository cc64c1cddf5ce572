"""An account's four numbers by day, and what the release schedule makes of them, for the chart."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from litestar.response import Response

from alikassa.cabinet import words
from alikassa.cabinet.formats import zone_of
from alikassa.cabinet.pages.accounts import chosen_days, id_of
from alikassa.cabinet.routing import page
from alikassa.ledger.model import BUCKETS, Bucket
from alikassa.ledger.questions.daily import daily_balances
from alikassa.ledger.questions.schedule import schedule
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from alikassa.cabinet.formats import Formats
    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.questions.daily import DayEnd
    from alikassa.ledger.questions.schedule import Schedule

__all__ = ["ROUTES"]


class Point(msgspec.Struct):
    """`x` counts days from the first one's beginning. Amounts as on the wire, and as the reader writes them."""

    x: float
    label: str
    now: bool
    amounts: dict[str, str]
    texts: dict[str, str]


class Drawing(msgspec.Struct):
    """`ticks` are the names of the days that begin at whole numbers of `x`."""

    names: dict[str, str]
    ticks: list[str]
    points: list[Point]


@page("/accounts/{account:uuid}/chart.json")
async def _chart(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    days = chosen_days(visit)
    daily, planned = await asyncio.gather(
        daily_balances(database, account.id, days=days), schedule(database, account.id)
    )
    drawing = _draw(visit, daily, planned, zone_of(planned.time_zone), days)
    return Response(msgspec.json.encode(drawing), media_type="application/json")


def _draw(visit: Visit, daily: Sequence[DayEnd], planned: Schedule, zone: ZoneInfo, days: int) -> Drawing:
    formats = visit.formats.at(zone)
    *ended, present = daily
    first, today = daily[0].day, present.day
    points = [
        _point(
            formats,
            (one.day - first).days + 1,
            visit.gettext("End of %(day)s", day=formats.day_text(one.day)),
            _buckets(one),
        )
        for one in ended
    ]
    stands = _buckets(present)
    # What is due is the balance's already, as the balance request answers it.
    _release(stands, planned.due_now[Bucket.HOLD], planned.due_now[Bucket.ROLLING_RESERVE])
    points.append(_point(formats, _days_between(first, planned.at, zone), visit.gettext("Now"), stands, now=True))
    last = today
    for one in planned.days:
        if (one.day - today).days > days:
            break
        _release(stands, one.hold, one.rolling_reserve)
        label = visit.gettext("End of %(day)s, planned", day=formats.day_text(one.day))
        points.append(_point(formats, (one.day - first).days + 1, label, stands))
        last = one.day
    ticks = [formats.short_day(first + timedelta(days=n)) for n in range((last - first).days + 2)]
    names = {bucket.value: visit.gettext(words.BUCKETS[bucket]) for bucket in BUCKETS}
    return Drawing(names, ticks, points)


def _buckets(day: DayEnd) -> dict[Bucket, int]:
    return {
        Bucket.BALANCE: day.balance,
        Bucket.HOLD: day.hold,
        Bucket.ROLLING_RESERVE: day.rolling_reserve,
        Bucket.PENDING_PAYOUTS: day.pending_payouts,
    }


def _release(stands: dict[Bucket, int], hold: int, reserve: int) -> None:
    stands[Bucket.HOLD] -= hold
    stands[Bucket.ROLLING_RESERVE] -= reserve
    stands[Bucket.BALANCE] += hold + reserve


def _days_between(first: date, at: datetime, zone: ZoneInfo) -> float:
    local = at.astimezone(zone)
    midnight = datetime.combine(local.date(), time(), zone)
    return (local.date() - first).days + (local - midnight) / timedelta(days=1)


def _point(formats: Formats, x: float, label: str, buckets: dict[Bucket, int], *, now: bool = False) -> Point:
    return Point(
        x=x,
        label=label,
        now=now,
        amounts={bucket.value: from_units(units) for bucket, units in buckets.items()},
        texts={bucket.value: formats.plain(units) for bucket, units in buckets.items()},
    )


ROUTES = [_chart]
