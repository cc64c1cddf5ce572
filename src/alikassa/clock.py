"""What time it is: always UTC, always aware, replaceable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from functools import lru_cache

from alikassa.errors import InvalidInputError

__all__ = ["Clock", "moment_text", "now", "parse_moment"]

#: Anything that tells the time: `now` itself, or a test's own.
Clock = Callable[[], datetime]


def now() -> datetime:
    """The current time in UTC, to the microsecond."""
    return datetime.now(UTC)


# A batch writes the same few moments many times.
@lru_cache(maxsize=1024)
def moment_text(moment: datetime) -> str:
    """UTC with microseconds, of fixed width, so that text sorts as time does."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"


def parse_moment(text: str, *, days: bool = False) -> datetime:
    """A time with its zone, in UTC. With `days` also a date, which begins at midnight in UTC.

    InvalidInputError for anything else.
    """
    try:
        if days and len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInputError(
        f"{text[:64]!r} is {'neither a date nor' if days else 'not'} a time with its zone.",
        remedy=f"Write {'2026-01-31, ' if days else ''}2026-01-31T12:00:00Z or 2026-01-31T15:00:00+03:00.",
    )
