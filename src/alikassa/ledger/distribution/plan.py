"""What makes a distributed database of an ordinary one on Citus: the statements, in their order. No I/O.

Citus refuses triggers on the tables that it keeps, and foreign keys to tables that it does not keep yet. So triggers
go, foreign keys wait until both of their tables are there, and all of it is one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.ledger.distribution.changing import IN_SEQUENCE
from alikassa.ledger.distribution.marker import KEEP_ENGINE
from alikassa.ledger.schema import GROWING, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REFERENCE", "SHARDS", "statements"]

#: Shards of each distributed table. Lanes are hashed onto them: of this many, most hold one lane or none, so that lanes
#: can be moved between nodes nearly one by one, and three nodes begin with 19, 22 and 23 of the 64.
SHARDS = 128
#: Small tables, a copy on each node. The revision too: a server may ask any node whether it is ready.
REFERENCE = (*(table.name for table in metadata.sorted_tables if table not in GROWING), "alembic_version")
_COLUMN = "lane"


def statements(
    triggers: Sequence[tuple[str, str]], foreign_keys: Sequence[tuple[str, str, str]], shards: int
) -> list[str]:
    """`triggers` are (table, name) as they are now, `foreign_keys` (table, name, definition)."""
    first = GROWING[0].name
    return [
        IN_SEQUENCE,
        *(f"DROP TRIGGER {name} ON {table}" for table, name in triggers),
        *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, _ in foreign_keys),
        *(f"SELECT create_reference_table('{name}')" for name in REFERENCE),
        f"SELECT create_distributed_table('{first}', '{_COLUMN}', colocate_with => 'none', shard_count => {shards})",
        *(
            f"SELECT create_distributed_table('{table.name}', '{_COLUMN}', colocate_with => '{first}')"
            for table in GROWING[1:]
        ),
        *(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}" for table, name, definition in foreign_keys),
        KEEP_ENGINE,
    ]
