"""Entries that were booked before snapshots of balances were kept are given theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from alikassa.ledger import snapshots
from alikassa.ledger.model import BUCKETS, Bucket
from alikassa.ledger.types import Amount, Moment, Uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["take_past_snapshots"]

_ACCOUNTS = sa.table("accounts", sa.column("lane"), sa.column("id", Uuid), sa.column("sequence"))
_ENTRIES = sa.table(
    "journal_entries",
    *(sa.column("lane"), sa.column("account_id", Uuid), sa.column("sequence", sa.BigInteger)),
    sa.column("recorded_at", Moment),
)
_POSTINGS = sa.table(
    "postings",
    *(sa.column("lane"), sa.column("account_id", Uuid), sa.column("sequence"), sa.column("line")),
    *(sa.column("bucket", sa.Text), sa.column("amount", Amount)),
)
_SNAPSHOTS = sa.table(
    "balance_snapshots",
    *(sa.column("lane", sa.SmallInteger), sa.column("account_id", Uuid), sa.column("sequence", sa.BigInteger)),
    sa.column("recorded_at", Moment),
    *(sa.column(bucket.value, Amount) for bucket in BUCKETS),
)


def take_past_snapshots(connection: sa.Connection) -> None:
    """Runs in the migration's transaction. Reads every posting, once."""
    accounts = sa.select(_ACCOUNTS.c.lane, _ACCOUNTS.c.id).where(_ACCOUNTS.c.sequence >= snapshots.EVERY)
    for lane, account in connection.execute(accounts).all():
        found = list(_snapshots(connection, lane, account))
        if found:
            connection.execute(sa.insert(_SNAPSHOTS), found)


def _snapshots(connection: sa.Connection, lane: int, account: Any) -> Iterator[dict[str, Any]]:
    """In the order of their entries; of the postings in memory, those of one part."""
    buckets = dict.fromkeys(BUCKETS, 0)
    first = 0
    entries = sa.select(_ENTRIES.c.sequence, _ENTRIES.c.recorded_at).where(
        *(_ENTRIES.c.lane == lane, _ENTRIES.c.account_id == account, _ENTRIES.c.sequence % snapshots.EVERY == 0)
    )
    lines = sa.select(_POSTINGS.c.bucket, _POSTINGS.c.amount).where(
        *(_POSTINGS.c.lane == lane, _POSTINGS.c.account_id == account),
        _POSTINGS.c.bucket.in_([bucket.value for bucket in BUCKETS]),
    )
    for last, at in connection.execute(entries.order_by(_ENTRIES.c.sequence)).all():
        part = lines.where(_POSTINGS.c.sequence > first, _POSTINGS.c.sequence <= last)
        for bucket, amount in connection.execute(part):
            buckets[Bucket(bucket)] += amount
        first = last
        amounts = {bucket.value: amount for bucket, amount in buckets.items()}
        yield {"lane": lane, "account_id": account, "sequence": last, "recorded_at": at, **amounts}
