"""What was refused lately, over all accounts: for an operator."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.ledger.schema import requests
from alikassa.ledger.types import Uuid
from alikassa.server.requests.asking import SeenRequest, seen_request
from alikassa.server.requests.kept import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.database import Database

__all__ = ["refused_lately"]


async def refused_lately(database: Database, since: datetime, *, limit: int = 20) -> list[SeenRequest]:
    """The last requests since then that named an account there is and were not answered with its balance, the newest
    first. Looks once at each account: costs what there are accounts, not what there are requests."""
    statement = (
        sa.select(*(sa.literal_column(f"t.{one.name}", one.type).label(one.name) for one in requests.c))
        # Crossed, so that SQLite begins with the accounts, and not with all requests.
        .select_from(sa.text("accounts a CROSS JOIN requests t"))
        .where(
            sa.text("t.lane = a.lane AND t.account_id = a.id"),
            sa.literal_column("t.verified", sa.Boolean).in_((True, False)),
            sa.literal_column("t.id", Uuid) >= _first_id(since),
            sa.literal_column("t.outcome", sa.Text) != Outcome.OK.value,
        )
        .order_by(sa.literal_column("t.id").desc())
        .limit(limit)
    )
    async with database.read() as connection:
        return [seen_request(row) for row in await connection.execute(statement)]


def _first_id(at: datetime) -> uuid.UUID:
    """Not after any id that was made then: they begin with the milliseconds."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)
