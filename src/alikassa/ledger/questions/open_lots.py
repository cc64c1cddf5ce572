"""What an account's open lots hold: what is due, what falls due later, and what nobody releases but by hand."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from alikassa.ledger.model import Bucket
from alikassa.ledger.questions.reading import by_index_of, lots_of
from alikassa.ledger.questions.sums import Sum, summed_each
from alikassa.ledger.schema import is_open, lots

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["BUCKETS_OF_LOTS", "When", "held_in_open_lots", "is_when"]

BUCKETS_OF_LOTS = (Bucket.HOLD, Bucket.ROLLING_RESERVE)


class When(Enum):
    """When a lot is released, as of a moment."""

    DUE = "due"
    LATER = "later"
    BY_HAND = "by hand"


def is_when(connection: AsyncConnection, when: When, at: datetime) -> sa.ColumnElement[bool]:
    """A range of the index of open lots."""
    match when:
        case When.DUE:
            return lots.c.due_at <= at
        case When.LATER:
            return lots.c.due_at > at
    return by_index_of(connection, lots.c.due_at.is_(None))


async def held_in_open_lots(
    connection: AsyncConnection, account: uuid.UUID, at: datetime, when: When, *where: sa.ColumnElement[bool]
) -> dict[Bucket, Sum]:
    """What remains of them by bucket, in both."""
    buckets = {bucket: lots.c.bucket == bucket.value for bucket in BUCKETS_OF_LOTS}
    here = (*lots_of(account), is_open, is_when(connection, when, at), *where)
    return await summed_each(connection, buckets, lots.c.remaining, lots, *here)
