"""Identifiers and lanes."""

from __future__ import annotations

import secrets
import uuid

from alikassa.clock import now

__all__ = ["LANES", "lane_of", "uuid7"]

#: How many lanes the books have. Written into each database when it is made; it never changes there.
LANES = 64


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
