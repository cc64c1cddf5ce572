"""What an account's buckets stood at after every 128th entry: a question about the past need not go back further.

A snapshot is written in the transaction of its entry. It follows from the postings, and `verify` compares the two.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from alikassa.ledger.model import Bucket

__all__ = ["EVERY", "Snapshot", "is_taken_after"]

#: Entries of an account between two snapshots. What reads them works with any distance, also a changing one.
EVERY = 128


class Snapshot(msgspec.Struct, frozen=True):
    """The buckets, in units, after the entry `sequence`, which was recorded at `recorded_at`."""

    sequence: int
    recorded_at: datetime
    buckets: dict[Bucket, int]


def is_taken_after(sequence: int) -> bool:
    """Whether there is one of the account's entry with this number."""
    return sequence % EVERY == 0
