"""What time it is: always UTC, always aware, replaceable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "moment_text", "now"]

#: Anything that tells the time: `now` itself, or a test's own.
Clock = Callable[[], datetime]


def now() -> datetime:
    """The current time in UTC, to the microsecond."""
    return datetime.now(UTC)


def moment_text(moment: datetime) -> str:
    """UTC with microseconds, of fixed width, so that text sorts as time does."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"
