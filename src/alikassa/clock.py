"""What time it is: always UTC, always aware, replaceable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "now"]

#: Anything that tells the time: `now` itself, or a test's own.
Clock = Callable[[], datetime]


def now() -> datetime:
    """The current time in UTC, to the microsecond."""
    return datetime.now(UTC)
