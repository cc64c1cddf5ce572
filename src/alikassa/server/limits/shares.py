"""Permits taken from the shared count in small shares, and spent here: asking the count for each request would cost as
much as answering it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from limits import RateLimitItem

__all__ = ["Counting", "Shares"]

#: A limit is handed out in at most so many shares a window; a share that is not spent in that part of it is lost.
_SHARES = 50
# Names that are known at a time. Past it they share one: whoever has so many addresses is one.
_MOST_NAMES = 50_000
_OTHERS = "others"


class Counting(Protocol):
    """A sliding window, wherever it is kept."""

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool: ...
    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> tuple[float, int]: ...


class _Share:
    __slots__ = ("left", "refused", "until")

    def __init__(self) -> None:
        self.left = 0
        #: Until when the share holds, or, with nothing left and `refused`, until when to ask no more.
        self.until = 0.0
        self.refused = False


class Shares:
    """One limit's permits, by name. `take` costs a look into a dictionary; once a share, a look at the count."""

    def __init__(self, item: RateLimitItem, counting: Counting, kind: str) -> None:
        self._item = item
        self._counting = counting
        self._kind = kind
        self._size = max(1, item.amount // _SHARES)
        self._seconds = item.get_expiry() / _SHARES
        self._known: dict[str, _Share] = {}

    def take(self, name: str, cost: int = 1) -> float:
        """0 when there was a permit (or as many as `cost`), else the seconds to wait before asking again."""
        share = self._known.get(name)
        now = time.monotonic()
        if share is not None and now < share.until:
            if share.left >= cost:
                share.left -= cost
                return 0
            if share.refused:
                return share.until - now
        return self._renew(name, share, cost, now)

    def refused_for(self, name: str) -> float:
        """As `take`, without taking: more than 0 only when the last one was refused a moment ago."""
        share = self._known.get(name)
        return max(share.until - time.monotonic(), 0) if share is not None and share.refused else 0

    def _renew(self, name: str, share: _Share | None, cost: int, now: float) -> float:
        if share is None:
            if len(self._known) >= _MOST_NAMES:
                self._forget(now)
            if len(self._known) >= _MOST_NAMES:
                name = _OTHERS
            share = self._known.setdefault(name, _Share())
        # A smaller share when a whole one is no longer to be had.
        for size in dict.fromkeys((max(self._size, cost), cost)):
            if self._counting.hit(self._item, self._kind, name, cost=size):
                share.left, share.refused, share.until = size - cost, False, now + self._seconds
                return 0
        reset = self._counting.get_window_stats(self._item, self._kind, name)[0]
        # Some of the window is free before it ends: asked again soon, but not for every request meanwhile.
        wait = min(max(reset - time.time(), 0.05), max(self._seconds, 0.05))
        share.left, share.refused, share.until = 0, True, now + wait
        return wait

    def _forget(self, now: float) -> None:
        self._known = {name: share for name, share in self._known.items() if share.until > now}
