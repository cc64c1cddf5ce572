"""Accounts as they stand: what is due is in the balance, whether it is released in the books yet or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from alikassa.errors import NotFoundError
from alikassa.ledger import store
from alikassa.ledger.model import Account, Bucket
from alikassa.ledger.questions.reading import of_accounts, time_of
from alikassa.ledger.questions.sums import summed
from alikassa.ledger.schema import is_open, lots

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["find_accounts"]

#: Accounts that one statement names.
_TOGETHER = 200


async def find_accounts(
    database: Database,
    merchant: uuid.UUID | None = None,
    *,
    after: uuid.UUID | None = None,
    limit: int | None = None,
    now: Clock | None = None,
) -> list[Account]:
    """A merchant's accounts, or all, those opened first come first; with `limit`, a page of them by id, from the one
    `after`. NotFoundError for an unknown merchant."""
    async with database.read() as connection:
        if merchant is not None and await store.find_merchant(connection, merchant) is None:
            raise NotFoundError(f"There is no merchant {merchant}.", remedy="Make one with: alikassa merchant add NAME")
        found = await store.find_accounts(connection, merchant, after=after, limit=limit)
        at = await time_of(database, connection, now)
        due = [one.id for one in found if one.next_due_at is not None and one.next_due_at <= at]
        sums: dict[tuple[uuid.UUID, Bucket], int] = {}
        for start in range(0, len(due), _TOGETHER):
            sums |= await _due(connection, due[start : start + _TOGETHER], at)
    return [_with_due(one, sums) for one in found]


async def _due(
    connection: AsyncConnection, accounts: Sequence[uuid.UUID], at: datetime
) -> dict[tuple[uuid.UUID, Bucket], int]:
    """What is due and not released, by account and bucket."""
    by = (lots.c.account_id, lots.c.bucket)
    found: dict[tuple[uuid.UUID, Bucket], int] = {}
    for here in of_accounts(connection, lots.c.lane, lots.c.account_id, accounts):
        sums = await summed(connection, by, lots.c.remaining, lots, here, is_open, lots.c.due_at <= at)
        found |= {(account, Bucket(bucket)): one.total for (account, bucket), one in sums.items()}
    return found


def _with_due(account: Account, sums: dict[tuple[uuid.UUID, Bucket], int]) -> Account:
    buckets = dict(account.buckets)
    for bucket in (Bucket.HOLD, Bucket.ROLLING_RESERVE):
        due = sums.get((account.id, bucket), 0)
        buckets[bucket] -= due
        buckets[Bucket.BALANCE] += due
    return replace(account, buckets=buckets)
