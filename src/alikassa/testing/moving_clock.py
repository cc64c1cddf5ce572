"""A clock that runs, and can be moved forward."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from alikassa import clock
from alikassa.errors import InvalidInputError

__all__ = ["MovingClock"]

_MOST = timedelta(days=36_500)


class MovingClock:
    """Called, it tells the time: this machine's, and what it was moved forward since."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        # Threads may share it.
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        return clock.now() + self._ahead

    def advance(self, by: timedelta) -> datetime:
        """Move it forward, by a hundred years altogether at most; the new time. InvalidInputError otherwise."""
        with self._lock:
            if not timedelta() <= by <= _MOST - self._ahead:
                raise InvalidInputError(
                    f"The clock cannot be moved by {by}.",
                    remedy="It goes forward only, a hundred years at most; reset the sandbox to start again.",
                )
            self._ahead += by
        return self()

    def reset(self) -> None:
        self._ahead = timedelta()
