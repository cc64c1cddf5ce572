"""Making a distributed database of an ordinary one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.errors import ConfigurationError
from alikassa.ledger.distribution.marker import ENGINE, FIND_ENGINE
from alikassa.ledger.distribution.plan import REFERENCE, SHARDS, statements
from alikassa.ledger.schema import GROWING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database

__all__ = ["Distributed", "distribute"]

_TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""
_FOREIGN_KEYS = """
SELECT c.relname, f.conname, pg_get_constraintdef(f.oid) FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
WHERE f.contype = 'f' AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""


class Distributed(msgspec.Struct, frozen=True):
    """What was done: tables copied to each node, tables spread by lane, triggers dropped, nodes that hold rows."""

    reference: tuple[str, ...]
    distributed: tuple[str, ...]
    triggers: tuple[str, ...]
    shards: int
    nodes: int


async def distribute(database: Database, shards: int = SHARDS) -> Distributed:
    """Spread the books at `database` over the nodes of its cluster, in one transaction: all of it or nothing.

    ConfigurationError, with nothing changed, on SQLite, without the extension or without a node, and a second time.
    """
    if not database.is_postgresql:
        raise ConfigurationError(
            "SQLite is one file.", remedy="Books that outgrow one machine need PostgreSQL with the citus extension."
        )
    async with database.write() as connection:
        nodes = await _nodes(connection)
        triggers = [(row[0], row[1]) for row in await connection.execute(sa.text(_TRIGGERS))]
        keys = [(row[0], row[1], row[2]) for row in await connection.execute(sa.text(_FOREIGN_KEYS))]
        for statement in statements(triggers, keys, shards):
            await connection.exec_driver_sql(statement)
    database.is_spread = True
    return Distributed(
        reference=REFERENCE,
        distributed=tuple(table.name for table in GROWING),
        triggers=tuple(f"{name} on {table}" for table, name in triggers),
        shards=shards,
        nodes=nodes,
    )


async def _nodes(connection: AsyncConnection) -> int:
    """How many nodes will hold rows. Refused where there is nothing to distribute onto."""
    if await connection.scalar(sa.text("SELECT 1 FROM pg_extension WHERE extname = :name"), {"name": ENGINE}) is None:
        raise ConfigurationError(
            f"This PostgreSQL has no {ENGINE} extension.",
            remedy=f"Set shared_preload_libraries = '{ENGINE}' on every node, restart, CREATE EXTENSION {ENGINE} in"
            " this database on each of them, and add the nodes with citus_add_node. Nothing was changed.",
        )
    if await connection.scalar(sa.text(FIND_ENGINE)) is not None:
        raise ConfigurationError(
            "This database is distributed already.", remedy="Its shards are moved with citus_rebalance_start()."
        )
    found = await connection.scalar(sa.text("SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards"))
    if not found:
        raise ConfigurationError(
            "The cluster has no node that would hold rows.",
            remedy="Name the coordinator with citus_set_coordinator_host, and add nodes with citus_add_node.",
        )
    return int(found)
