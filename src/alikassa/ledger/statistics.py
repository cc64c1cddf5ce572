"""PostgreSQL's statistics of our tables, kept up with books that grow fast.

Its own upkeep looks once a minute. When one account gets thousands of entries within its first minute, the planner
takes them for a handful, and looks references up by reading all of the account's entries: each booked one makes it
slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.ledger.distribution.marker import FIND_ENGINE
from alikassa.ledger.schema import journal_entries, lots, payouts, postings

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["GROWING", "refresh_statistics"]

#: The tables that grow with every entry.
GROWING = (journal_entries, postings, lots, payouts)
#: Changes since the last statistics from which on new ones are made, beside as many as the table has rows.
_LEAST_CHANGES = 500

# Only what this role may maintain; the owner may, and on 17 and later who has the right for it.
_OUTGROWN = sa.text(
    """
    SELECT c.relname FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
    WHERE c.relname = ANY(:names) AND c.relnamespace = current_schema()::regnamespace
      AND s.n_mod_since_analyze > :least + greatest(c.reltuples, 0)
      AND CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN true
               WHEN current_setting('server_version_num')::integer < 170000 THEN false
               ELSE has_table_privilege(c.oid, 'MAINTAIN') END
    """
)


async def refresh_statistics(database: Database) -> list[str]:
    """Make new statistics of tables that have doubled since the last ones; which those were. Nothing on SQLite, nor
    where tables are spread over nodes."""
    if not database.is_postgresql:
        return []
    asked = {"names": [table.name for table in GROWING], "least": _LEAST_CHANGES}
    async with database.read() as connection:
        if await connection.scalar(sa.text(FIND_ENGINE)) is not None:
            return []
        names = list(await connection.scalars(_OUTGROWN, asked))
    for name in names:
        async with database.write() as connection:
            await connection.execute(sa.text(f"ANALYZE {name}"))
    return names
