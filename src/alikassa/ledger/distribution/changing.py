"""What the engine needs when tables or the rights on them are changed."""

from __future__ import annotations

import re

from alikassa.ledger.distribution.marker import ENGINE

__all__ = ["FIND_VERSION", "IN_SEQUENCE", "has_column_rights"]

#: One connection a node until the transaction's end. A change of a distributed table goes to all of its shards at once,
#: and Citus refuses to change a reference table after that in the same transaction.
IN_SEQUENCE = "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"
FIND_VERSION = f"SELECT extversion FROM pg_extension WHERE extname = '{ENGINE}'"  # noqa: S608 - a constant
# Before, Citus refuses them.
_COLUMN_RIGHTS = (13, 1)


def has_column_rights(version: str) -> bool:
    """Whether rights on single columns reach the nodes; `version` as PostgreSQL has it (14.0-1). Unreadable: no."""
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return found is not None and (int(found[1]), int(found[2] or 0)) >= _COLUMN_RIGHTS
