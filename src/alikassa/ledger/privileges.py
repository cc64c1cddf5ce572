"""The rights of the role that serves, on PostgreSQL: to add to the journal, never to change it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.errors import ConfigurationError
from alikassa.ledger.distribution.changing import FIND_VERSION, IN_SEQUENCE, has_column_rights
from alikassa.ledger.replicas.tables import heartbeats, passing, permission_changes
from alikassa.ledger.schema import (
    accounts,
    attempts,
    balance_snapshots,
    certificate_uses,
    certificates,
    closed_periods,
    discrepancies,
    journal_entries,
    lots,
    merchants,
    metadata,
    nonces,
    operator_tokens,
    payouts,
    policies,
    postings,
    requests,
    sessions,
    settings,
    users,
    verifications,
)
from alikassa.ledger.statistics import GROWING

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["grant_server"]

# Locking a row needs the right to update one of its columns: a merchant's name.
_RIGHTS = {
    settings: "SELECT",
    merchants: "SELECT, INSERT, UPDATE (name)",
    certificates: "SELECT, INSERT, UPDATE (state, revoked_at, sha1_allowed)",
    accounts: (
        "SELECT, INSERT, UPDATE (balance, hold, rolling_reserve, pending_payouts, sequence, recorded_at, head, state,"
        " policy, next_due_at, closed_until, requires_fresh)"
    ),
    journal_entries: "SELECT, INSERT",
    postings: "SELECT, INSERT",
    policies: "SELECT, INSERT",
    lots: "SELECT, INSERT, UPDATE (remaining, open)",
    payouts: "SELECT, INSERT, UPDATE (amount, state, state_sequence, state_at)",
    discrepancies: "SELECT, INSERT, UPDATE (last_at, times, closed_sequence)",
    closed_periods: "SELECT, INSERT",
    operator_tokens: "SELECT, INSERT, UPDATE (revoked_at, last_used_at)",
    attempts: "SELECT, INSERT, UPDATE, DELETE",
    # Whoever deletes the old ones locks them first, so as to wait for nobody who does the same.
    nonces: "SELECT, INSERT, UPDATE (at), DELETE",
    balance_snapshots: "SELECT, INSERT",
    users: "SELECT, INSERT, UPDATE (password, totp_secret, totp_step, language, disabled_at)",
    sessions: "SELECT, INSERT, UPDATE (seen_at), DELETE",
    requests: "SELECT, INSERT, DELETE",
    certificate_uses: "SELECT, INSERT, UPDATE (last_used_at)",
    verifications: "SELECT, INSERT",
    heartbeats: "SELECT, INSERT, UPDATE, DELETE",
    permission_changes: "SELECT",
}


async def grant_server(database: Database, role: str) -> None:
    """Give `role` exactly what serving and booking need. ConfigurationError when there is no such role."""
    if not database.is_postgresql:
        raise ConfigurationError(
            "SQLite has no roles.", remedy="There, triggers keep the journal, and the file's permissions the rest."
        )
    async with database.write() as connection:
        if await connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}) is None:
            raise ConfigurationError(f"There is no role {role!r}.", remedy="Make it first: CREATE ROLE NAME LOGIN")
        quoted = connection.dialect.identifier_preparer.quote(role)
        spread = database.is_spread
        whole = False
        if spread:
            await connection.execute(sa.text(IN_SEQUENCE))
            whole = not has_column_rights(await connection.scalar(sa.text(FIND_VERSION)) or "")
        for table in (*metadata.sorted_tables, *passing.sorted_tables):
            await connection.execute(sa.text(f"REVOKE ALL ON {table.name} FROM {quoted}"))
        for table, named in _RIGHTS.items():
            rights = re.sub(r" \([^)]*\)", "", named) if whole else named
            await connection.execute(sa.text(f"GRANT {rights} ON {table.name} TO {quoted}"))
        if not spread and int(await connection.scalar(sa.text("SHOW server_version_num")) or 0) >= 170000:
            # Statistics of fast-growing books are made by whoever fills them.
            for table in GROWING:
                await connection.execute(sa.text(f"GRANT MAINTAIN ON {table.name} TO {quoted}"))
        await connection.execute(sa.text(f"GRANT SELECT ON alembic_version TO {quoted}"))
