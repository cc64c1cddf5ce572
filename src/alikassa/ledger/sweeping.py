"""Releasing what is due on all accounts, and saying how much that was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.ledger.books import Books
from alikassa.ledger.schema import is_open, lots

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["Swept", "sweep"]


class Swept(msgspec.Struct, frozen=True):
    """Held sums that were due when the sweep began, and the accounts that they were on."""

    accounts: int
    lots: int


async def sweep(database: Database, now: Clock | None = None) -> Swept:
    """Release what is due by now, and forget old answers. Nobody who reads or books can tell whether it was done."""
    async with database.read() as connection:
        at = now() if now else await database.now(connection)
        found = await connection.execute(
            sa.select(sa.func.count(lots.c.account_id.distinct()), sa.func.count()).where(is_open, lots.c.due_at <= at)
        )
        accounts, due = found.one()
    await Books(database, now).sweep()
    return Swept(accounts, due)
