"""What an account's four numbers were, are or will be at a moment."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket, Kind, LotKey
from alikassa.ledger.questions.open_lots import BUCKETS_OF_LOTS, When, held_in_open_lots
from alikassa.ledger.questions.reading import entries_of, find_account, in_utc, lots_of, postings_of, time_of
from alikassa.ledger.questions.stood import Buckets, last_entries_before, stood_after
from alikassa.ledger.questions.sums import summed
from alikassa.ledger.schema import is_open, journal_entries, lots, postings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = ["BalanceAt", "Basis", "balance_at"]

_INSTANT = timedelta(microseconds=1)


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
    """The four numbers at a moment, None for now.

    By `RECORDED`, the past is exactly what a balance request was answered at that moment. By `EFFECTIVE` it is what is
    known of that moment now: entries count from when they took effect, also if they were recorded later, and so all
    that were recorded since are read. The future is the present and what falls due by then. NotFoundError for an
    unknown account, InvalidInputError for a time without a zone.
    """
    async with database.read() as connection:
        found = await find_account(connection, account)
        present = await time_of(database, connection, now)
        moment = present if at is None else in_utc(at, "at")
        sequence, buckets = found.sequence, dict(found.buckets)
        if moment >= present:
            due = await _due_and_open(connection, account, moment)
        else:
            (point,) = await last_entries_before(connection, [(found, moment + _INSTANT)])
            sequence = point.sequence
            if by is Basis.EFFECTIVE:
                buckets, due = await _known_now(connection, found, sequence, moment)
            else:
                buckets = (await stood_after(connection, [found], [point]))[point]
                due = await _due_then(connection, found, sequence, moment)
    for bucket, amount in due.items():
        buckets[bucket] -= amount
        buckets[Bucket.BALANCE] += amount
    return BalanceAt(account, found.currency, moment, by, buckets, sequence)


async def _due_and_open(
    connection: AsyncConnection, account: uuid.UUID, at: datetime, *where: sa.ColumnElement[bool]
) -> Buckets:
    """What is in open lots that are due."""
    sums = await held_in_open_lots(connection, account, at, When.DUE, *where)
    return {bucket: one.total for bucket, one in sums.items()}


async def _due_then(connection: AsyncConnection, account: Account, sequence: int, at: datetime) -> Buckets:
    """What was in lots that were due at `at`, before the entries after `sequence`.

    No other entry is ever booked while something is due. So what was due then is open still, or it was released by
    the entries that came next, up to the first that is no release.
    """
    number = journal_entries.c.sequence
    next_entry = (
        sa.select(number)
        .where(*entries_of(account.id), number > sequence, journal_entries.c.kind != Kind.RELEASE.value)
        .order_by(number)
        .limit(1)
    )
    end = await connection.scalar(next_entry) or account.sequence + 1
    # An expression, which is in no index: what is due is found by its own.
    due = await _due_and_open(connection, account.id, at, lots.c.sequence + 0 <= sequence)
    same = sa.and_(*lots_of(account.id), lots.c.sequence == postings.c.lot_sequence, lots.c.line == postings.c.lot_line)
    released = await summed(
        connection,
        (lots.c.bucket,),
        postings.c.amount,
        postings.join(lots, same),
        *(*postings_of(account.id), postings.c.sequence > sequence, postings.c.sequence < end),
        *(postings.c.bucket == lots.c.bucket, lots.c.due_at <= at, lots.c.sequence <= sequence),
    )
    for (place,), one in released.items():
        due[Bucket(place)] -= one.total
    return due


async def _known_now(
    connection: AsyncConnection, account: Account, sequence: int, at: datetime
) -> tuple[Buckets, Buckets]:
    """What stood at `at` by all that is known now, and what of that was due.

    No entry takes effect after it is recorded: those that did so after `at` are all among those after `sequence`.
    """
    later = journal_entries.c.effective_at > at
    since = (
        *postings_of(account.id),
        postings.c.sequence > sequence,
        later,
        journal_entries.c.lane == lane_of(account.id),
    )
    by = (postings.c.bucket, postings.c.lot_sequence, postings.c.lot_line)
    buckets, moved = dict(account.buckets), dict[LotKey, int]()
    for (place, *key), one in (
        await summed(connection, by, postings.c.amount, postings.join(journal_entries), *since)
    ).items():
        if place in buckets:
            buckets[Bucket(place)] -= one.total
            moved[LotKey(*key)] = one.total
    named = (
        sa.select(postings.c.lot_sequence, postings.c.lot_line)
        .where(*postings_of(account.id), postings.c.sequence > sequence)
        .where(postings.c.bucket.in_([bucket.value for bucket in BUCKETS_OF_LOTS]))
        .distinct()
        .subquery()
    )
    same = sa.and_(lots.c.sequence == named.c.lot_sequence, lots.c.line == named.c.lot_line)
    was_due = sa.select(lots.c.sequence, lots.c.line, lots.c.bucket, lots.c.remaining).where(
        *lots_of(account.id), lots.c.due_at <= at
    )
    due = dict.fromkeys(BUCKETS_OF_LOTS, 0)
    for statement in (was_due.where(is_open), was_due.join_from(named, lots, same).where(~lots.c.open)):
        for made, line, place, remaining in await connection.execute(statement):
            # One that was made later than `at` had nothing then.
            due[Bucket(place)] += max(remaining - moved.get(LotKey(made, line), 0), 0)
    return buckets, due
