"""The terms of an account, version by version."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.ledger import rows
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.policy import Policy
from alikassa.ledger.questions.reading import find_account
from alikassa.ledger.schema import journal_entries, policies

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.database import Database

__all__ = ["PolicyVersion", "find_policies"]

_ACCOUNT = columns_of(policies, "lane", "account_id")


class PolicyVersion(msgspec.Struct, frozen=True):
    """Terms that payments came under from entry number `sequence` on, until the next version."""

    version: int
    policy: Policy
    sequence: int
    reference: str
    reason: str
    recorded_at: datetime


async def find_policies(database: Database, account: uuid.UUID) -> list[PolicyVersion]:
    """All versions, the newest first; none when there were no terms. NotFoundError for an unknown account."""
    lane = lane_of(account)
    async with database.read() as connection:
        await find_account(connection, account)
        entries = await connection.execute(
            sa.select(
                policies.c.version,
                journal_entries.c.sequence,
                journal_entries.c.reference,
                journal_entries.c.reason,
                journal_entries.c.recorded_at,
            )
            .join_from(
                policies,
                journal_entries,
                sa.and_(
                    journal_entries.c.lane == policies.c.lane,
                    journal_entries.c.account_id == policies.c.account_id,
                    journal_entries.c.sequence == policies.c.sequence,
                ),
            )
            .where(policies.c.lane == lane, policies.c.account_id == account, journal_entries.c.lane == lane)
        )
        set_by = {row.version: row for row in entries}
        found = [rows.policy(row) for row in await find_rows(connection, _ACCOUNT, [(lane, account)], rows.POLICY)]
    return [
        PolicyVersion(version, policy, row.sequence, row.reference, row.reason, row.recorded_at)
        for _, version, policy in sorted(found, key=lambda one: one[1], reverse=True)
        for row in [set_by[version]]
    ]
