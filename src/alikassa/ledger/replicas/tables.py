"""Two tables that belong to no books: they are in no backup, and on PostgreSQL only.

Both are kept by the primary. `heartbeats` has a row for each worker that looks at replicas; `permission_changes` has
one, which a trigger counts up in each transaction that changes what a request may be told by.
"""

from __future__ import annotations

import sqlalchemy as sa

from alikassa.ledger.schema import metadata
from alikassa.ledger.types import Moment, Uuid

__all__ = ["heartbeats", "passing", "permission_changes"]

passing = sa.MetaData(naming_convention=metadata.naming_convention)

heartbeats = sa.Table(
    "heartbeats",
    passing,
    sa.Column("worker", Uuid, primary_key=True),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

permission_changes = sa.Table(
    "permission_changes",
    passing,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
)
