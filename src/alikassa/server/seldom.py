"""Saying the same thing seldom: a database that is away is not told of once a request."""

from __future__ import annotations

import time

__all__ = ["SECONDS", "Seldom"]

#: How long one kind is kept quiet after it was said.
SECONDS = 5.0
# Kinds come from a closed set; should they not, it is forgotten what was said.
_MOST_KINDS = 100


class Seldom:
    """One for a log."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def unsaid(self, kind: str) -> int | None:
        """How many of this kind were not said since one last was; None when this one is not to be said either."""
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) < SECONDS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        if len(self._said) >= _MOST_KINDS:
            self._said.clear()
            self._unsaid.clear()
        self._said[kind] = now
        return self._unsaid.pop(kind, 0)
