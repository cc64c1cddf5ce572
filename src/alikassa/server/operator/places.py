"""So many at work at once; the others wait in the order of coming, and not for long."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

__all__ = ["Places"]


class _Waiting(NamedTuple):
    until: float
    #: Whether there is a place.
    told: asyncio.Future[bool]


class Places:
    """For one event loop. `seconds`: how long one waits at most.

    A semaphore under `asyncio.timeout` does the same with a timer for each who waits: 19 microseconds for each of a
    thousand instead of 2, just when there is too much to do. All wait equally long: one timer will do, for the first.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._free = places
        self._seconds = seconds
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> bool:
        """False when there was none in time. Whoever has one must `leave`."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(_Waiting(loop.time() + self._seconds, told))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end_waiting)
        try:
            return await told
        except asyncio.CancelledError:
            if told.done() and not told.cancelled() and told.result():
                self.leave()
            raise

    def leave(self) -> None:
        """The place is for who has waited longest."""
        while self._waiting:
            told = self._waiting.popleft().told
            if not told.done():
                told.set_result(True)
                return
        self._free += 1

    def _end_waiting(self) -> None:
        """For those whose time is over. The timer is kept while somebody waits."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            until, told = self._waiting[0]
            if until > loop.time():
                self._timer = loop.call_at(until, self._end_waiting)
                return
            self._waiting.popleft()
            if not told.done():
                told.set_result(False)
