"""Identifiers and lanes."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from alikassa.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LANES", "QuickIds", "lane_of", "ordered_uuid", "uuid7"]

#: How many lanes the books have. Written into each database when it is made; it never changes there.
LANES = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lane_of(account: uuid.UUID) -> int:
    """The lane of an account: the unit of batching, locking and distribution, first in every growing key."""
    return account.int % LANES


def uuid7() -> uuid.UUID:
    """An `ordered_uuid` of now."""
    return ordered_uuid(now())


def ordered_uuid(at: datetime) -> uuid.UUID:
    """A UUID version 7 with microseconds (RFC 9562, 5.7 and 6.2): its order is that of time, over all processes."""
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    part = (micros % 1000) * 4096 // 1000
    return uuid.UUID(int=(micros // 1000) << 80 | 0x7 << 76 | part << 64 | 0x2 << 62 | _random_bits() >> 2)


class QuickIds:
    """Texts of UUIDs version 7 of now, for whoever makes thousands a second and must not spend time on it.

    Those of one millisecond count up from a random number (RFC 9562, 6.2, method 2), so one text costs a sixth of
    `str(uuid7())`.
    """

    __slots__ = ("_begin", "_millis", "_number")

    def __init__(self) -> None:
        self._millis = 0
        self._begin = ""
        self._number = 0

    def __call__(self) -> str:
        millis = time.time_ns() // 1_000_000
        if millis != self._millis:
            self._millis = millis
            bits = _random_bits()
            head = f"{millis:012x}"
            self._begin = f"{head[:8]}-{head[8:]}-7{bits >> 52:03x}-{0x8000 | bits >> 38 & 0x3FFF:04x}-"
            # Random digits, and room to count in.
            self._number = (bits & 0x3F_FFFF_FFFF) << 8
        self._number += 1
        return f"{self._begin}{self._number:012x}"


# Randomness of the system's, fetched by the block: each fetch hands the interpreter to another thread, and a server
# that refuses thousands a second would wait for it as often.
_BLOCK = 4096
_fetched: Iterator[int] = iter(())


def _random_bits() -> int:
    """64 of them."""
    global _fetched
    while True:
        for number in _fetched:
            return number
        _fetched = iter(memoryview(os.urandom(_BLOCK)).cast("Q"))


def _forget_fetched() -> None:
    """A fork must not make the same ids as its parent."""
    global _fetched
    _fetched = iter(())


os.register_at_fork(after_in_child=_forget_fetched)
