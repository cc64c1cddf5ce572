"""What an account's four numbers were, are or will be at a moment."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.ledger.model import Bucket, LotKey
from alikassa.ledger.questions.reading import (
    find_account,
    in_utc,
    last_entry,
    lots_of,
    postings_of,
    summed,
    time_of,
)
from alikassa.ledger.schema import is_open, journal_entries, lots, postings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["BalanceAt", "Basis", "balance_at"]

_BUCKETS = frozenset(bucket.value for bucket in Bucket)


class Basis(StrEnum):
    """Which entries count by a moment: those recorded by then, or those that took effect by then."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


class BalanceAt(msgspec.Struct, frozen=True):
    """The four numbers at `at`, in units. What was due then is in `balance`, released or not.

    `sequence` is the last entry that had been recorded by then (0: none). By effective time others of the entries up
    to now may count as well, or not.
    """

    account: uuid.UUID
    currency: str
    at: datetime
    by: Basis
    buckets: dict[Bucket, int]
    sequence: int


async def balance_at(
    database: Database,
    account: uuid.UUID,
    *,
    at: datetime | None = None,
    by: Basis = Basis.RECORDED,
    now: Clock | None = None,
) -> BalanceAt:
    """The four numbers at a moment, None for now. The cost is that of the entries after it, not of all.

    By `RECORDED`, the past is exactly what a balance request was answered at that moment. By `EFFECTIVE` it is what is
    known of that moment now: entries count from when they took effect, also if they were recorded later. The future
    is the present and what falls due by then. NotFoundError for an unknown account, InvalidInputError for a time
    without a zone.
    """
    async with database.read() as connection:
        found = await find_account(connection, account)
        present = await time_of(database, connection, now)
        moment = present if at is None else in_utc(at, "at")
        sequence, later = found.sequence, _Moved()
        if moment < present:
            sequence = await last_entry(connection, found, moment)
            later = await _moved_after(connection, account, sequence, moment if by is Basis.EFFECTIVE else None)
        buckets = {bucket: amount - later.buckets.get(bucket, 0) for bucket, amount in found.buckets.items()}
        for bucket, amount in (await _due(connection, account, sequence, moment, later)).items():
            buckets[bucket] -= amount
            buckets[Bucket.BALANCE] += amount
    return BalanceAt(account, found.currency, moment, by, buckets, sequence)


class _Moved(msgspec.Struct):
    """By how much some postings moved buckets, and lots."""

    buckets: dict[Bucket, int] = {}
    lots: dict[LotKey, int] = {}


async def _moved_after(
    connection: AsyncConnection, account: uuid.UUID, sequence: int, effective_after: datetime | None
) -> _Moved:
    """What entries after `sequence` moved; of those, if asked, the ones that took effect after a moment.

    No entry takes effect after it is recorded: those that do so after a moment are all among those recorded after it.
    """
    source: sa.FromClause = postings
    where = [*postings_of(account), postings.c.sequence > sequence]
    if effective_after is not None:
        source = postings.join(journal_entries)
        where.append(journal_entries.c.effective_at > effective_after)
    by = (postings.c.bucket, postings.c.lot_sequence, postings.c.lot_line)
    moved = _Moved()
    for (place, *key), one in (await summed(connection, by, postings.c.amount, source, *where)).items():
        if place not in _BUCKETS:
            continue
        bucket = Bucket(place)
        moved.buckets[bucket] = moved.buckets.get(bucket, 0) + one.total
        if bucket in (Bucket.HOLD, Bucket.ROLLING_RESERVE):
            moved.lots[LotKey(*key)] = one.total
    return moved


async def _due(
    connection: AsyncConnection, account: uuid.UUID, sequence: int, at: datetime, later: _Moved
) -> dict[Bucket, int]:
    """What remained, at `at`, of lots that were due by then: of those open now, and of those that moved since."""
    columns = (lots.c.sequence, lots.c.line, lots.c.bucket, lots.c.remaining)
    due = sa.select(*columns).where(*lots_of(account), lots.c.due_at <= at)
    found = list(await connection.execute(due.where(is_open)))
    if later.lots:
        named = (
            sa.select(postings.c.lot_sequence, postings.c.lot_line)
            .where(*postings_of(account), postings.c.sequence > sequence)
            .where(postings.c.bucket.in_([Bucket.HOLD.value, Bucket.ROLLING_RESERVE.value]))
            .distinct()
            .subquery()
        )
        same = sa.and_(lots.c.sequence == named.c.lot_sequence, lots.c.line == named.c.lot_line)
        closed = due.join_from(named, lots, same).where(~lots.c.open)
        found += await connection.execute(closed)
    total: dict[Bucket, int] = {}
    for made, line, bucket, remaining in found:
        # One that was made later than `at` had nothing then.
        then = remaining - later.lots.get(LotKey(made, line), 0)
        total[Bucket(bucket)] = total.get(Bucket(bucket), 0) + max(then, 0)
    return total
