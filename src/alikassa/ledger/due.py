"""Which accounts have something due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.ledger.schema import accounts

if TYPE_CHECKING:
    import uuid

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["due_accounts"]


async def due_accounts(database: Database, now: Clock | None, *, most: int) -> list[uuid.UUID]:
    """Accounts of which something may be due, those that wait longest first, at most so many."""
    async with database.read() as connection:
        at = now() if now else await database.now(connection)
        found = await connection.scalars(
            sa.select(accounts.c.id).where(accounts.c.next_due_at <= at).order_by(accounts.c.next_due_at).limit(most)
        )
        return list(found)
