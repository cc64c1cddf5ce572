"""What the database says of itself: whether its tables are spread over nodes.

Whoever connects first asks, since a worker of the server opens its database unseen. It is a setting of ours and not the
presence of the extension: that one may be there before anything is distributed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["ENGINE", "FIND_ENGINE", "FIND_SETTINGS", "KEEP_ENGINE", "is_spread"]

#: The only engine that there is a way to.
ENGINE = "citus"
#: Whether there are settings to look into.
FIND_SETTINGS = "SELECT to_regclass('settings') IS NOT NULL"
FIND_ENGINE = "SELECT value FROM settings WHERE name = 'engine'"
KEEP_ENGINE = f"INSERT INTO settings (name, value) VALUES ('engine', '{ENGINE}')"  # noqa: S608 - a constant


async def is_spread(database: Database) -> bool:
    async with database.read() as connection:
        return await connection.scalar(sa.text(FIND_ENGINE)) is not None
