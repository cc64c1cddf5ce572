"""Identifiers and lanes."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from alikassa.clock import now

__all__ = ["LANES", "lane_of", "ordered_uuid", "uuid7"]

#: How many lanes the books have. Written into each database when it is made; it never changes there.
LANES = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lane_of(account: uuid.UUID) -> int:
    """The lane of an account: the unit of batching, locking and distribution, first in every growing key."""
    return account.int % LANES


def uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds since 1970, then randomness."""
    milliseconds = int(now().timestamp() * 1000)
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return uuid.UUID(int=value)


def ordered_uuid(at: datetime) -> uuid.UUID:
    """A UUID version 7 with microseconds (RFC 9562, 5.7 and 6.2): its order is that of time, over all processes."""
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    part = (micros % 1000) * 4096 // 1000
    random = secrets.randbits(62)
    return uuid.UUID(int=(micros // 1000) << 80 | 0x7 << 76 | part << 64 | 0x2 << 62 | random)
