"""Days of a time zone, and the moments at which they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["day_of", "ends_of_days"]

_INSTANT = timedelta(microseconds=1)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day that a moment is in."""
    try:
        return moment.astimezone(zone).date()
    except OverflowError:  # the last day of the year 9999, further east
        return moment.date()


def ends_of_days(first: date, count: int, zone: ZoneInfo) -> list[tuple[date, datetime]]:
    """Some days one after the other, fewer at the end of the calendar, each with its last microsecond in UTC."""
    days = []
    for number in range(first.toordinal(), min(first.toordinal() + count, date.max.toordinal() + 1)):
        day = date.fromordinal(number)
        try:
            # A midnight that is skipped is read with the offset before it: it is the moment at which that changed.
            end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) - _INSTANT
        except OverflowError:
            end = _END_OF_TIME
        days.append((day, end))
    return days
