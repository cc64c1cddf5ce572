"""An account's entries of a period, between what it stood at before and after."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.ledger.model import BUCKETS, Bucket, JournalEntry, Kind
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.entries import ENTRIES, read_entries, select_entries
from alikassa.ledger.questions.reading import find_account, in_utc, last_entry, postings_of, require_limit, summed
from alikassa.ledger.schema import postings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = ["MOST_LINES", "Statement", "StatementLine", "statement"]

#: Lines of one page at most.
MOST_LINES = 1000


class StatementLine(msgspec.Struct, frozen=True):
    """One entry, by how much it moved each bucket (those it did not move are left out), and the four after it."""

    entry: JournalEntry
    changes: dict[Bucket, int]
    balances: dict[Bucket, int]


class Statement(msgspec.Struct, frozen=True):
    """A page of an account's entries in [start, end) of recording; None leaves that end open.

    `opening`, `closing` and `count`, the number of entries, are the whole period's, whatever is filtered and however
    it is paged: opening and all changes make closing. They are as booked: what is due and not yet released is still
    in its bucket. `cursor` goes on after the last line; None when nothing follows.
    """

    account: uuid.UUID
    currency: str
    start: datetime | None
    end: datetime | None
    opening: dict[Bucket, int]
    lines: list[StatementLine]
    closing: dict[Bucket, int]
    count: int
    cursor: str | None


async def statement(
    database: Database,
    account: uuid.UUID,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    kinds: Collection[Kind] = (),
    reference: str | None = None,
    after: str | None = None,
    limit: int = 100,
    newest: bool = False,
) -> Statement:
    """Lines in the order of booking; with `newest`, in the opposite order, from the last one backwards.

    `kinds` (none: all) and `reference` choose lines; the numbers beside them stay right. `after` is the cursor of the
    page before, of the same question. NotFoundError for an unknown account, InvalidInputError for a cursor that is
    not this question's, a limit outside 1 to `MOST_LINES`, or a time without a zone.
    """
    require_limit(limit, 1, MOST_LINES)
    start, end = (None if one is None else in_utc(one, "A period's end") for one in (start, end))
    if start is not None and end is not None and start > end:
        raise InvalidInputError("The period ends before it starts.", remedy="Give the earlier time first.")
    question = (account, start, end, *sorted(kinds), reference, newest)
    position = None if after is None else read_cursor(after, question, _Position).sequence
    async with database.read() as connection:
        found = await find_account(connection, account)
        period = await _period(connection, found, start, end)
        chosen = _chosen(period, kinds, reference, position, newest=newest)
        entries = await read_entries(connection, chosen.limit(limit + 1))
        more, entries = len(entries) > limit, entries[:limit]
        lines = await _lines(connection, period, entries)
    cursor = write_cursor(question, _Position(entries[-1].sequence)) if more else None
    return Statement(
        account=account,
        currency=found.currency,
        start=start,
        end=end,
        opening=period.opening,
        lines=lines,
        closing=period.closing,
        count=period.last - period.before,
        cursor=cursor,
    )


class _Position(msgspec.Struct, array_like=True):
    """The entry with which a page ended."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Period(msgspec.Struct):
    """From the entry after `before` up to `last`, and what the buckets stood at there."""

    account: uuid.UUID
    before: int
    last: int
    opening: dict[Bucket, int]
    closing: dict[Bucket, int]


async def _period(
    connection: AsyncConnection, account: Account, start: datetime | None, end: datetime | None
) -> _Period:
    """Back from what is materialised, by the postings after the period and by its own."""
    before = 0 if start is None else await last_entry(connection, account, start, before=True)
    last = account.sequence if end is None else await last_entry(connection, account, end, before=True)
    closing = _less(account.buckets, await _changes(connection, account.id, last, account.sequence))
    opening = _less(closing, await _changes(connection, account.id, before, last))
    return _Period(account.id, before, last, opening, closing)


async def _changes(connection: AsyncConnection, account: uuid.UUID, before: int, last: int) -> dict[Bucket, int]:
    """What the entries after `before`, up to `last`, moved."""
    if before == last:
        return {}
    here = (*postings_of(account), postings.c.sequence > before, postings.c.sequence <= last)
    places = postings.c.bucket.in_([bucket.value for bucket in BUCKETS])
    sums = await summed(connection, (postings.c.bucket,), postings.c.amount, postings, *here, places)
    return {Bucket(place): one.total for (place,), one in sums.items()}


def _less(buckets: dict[Bucket, int], changes: dict[Bucket, int]) -> dict[Bucket, int]:
    return {bucket: amount - changes.get(bucket, 0) for bucket, amount in buckets.items()}


def _chosen(
    period: _Period, kinds: Collection[Kind], reference: str | None, position: int | None, *, newest: bool
) -> sa.Select[Any]:
    """The entries of the lines from `position` on."""
    number = ENTRIES.c.sequence
    before = period.before if newest or position is None else max(period.before, position)
    last = period.last if not newest or position is None else min(period.last, position - 1)
    statement = select_entries(period.account).where(number > before, number <= last)
    if reference is not None:
        # With every kind named, the index of references finds it.
        kinds = kinds or tuple(Kind)
        statement = statement.where(ENTRIES.c.reference == reference)
    if kinds:
        statement = statement.where(ENTRIES.c.kind.in_([kind.value for kind in kinds]))
    return statement.order_by(number.desc() if newest else number)


async def _lines(connection: AsyncConnection, period: _Period, entries: Sequence[JournalEntry]) -> list[StatementLine]:
    """In the order of `entries`. Between two lines may be entries that are none: they move the balances on."""
    balances, done = dict(period.opening), period.before
    lines: dict[int, StatementLine] = {}
    for entry in sorted(entries, key=lambda one: one.sequence):
        changes = _changes_of(entry)
        for moved in (await _changes(connection, period.account, done, entry.sequence - 1), changes):
            for bucket, amount in moved.items():
                balances[bucket] += amount
        done = entry.sequence
        lines[done] = StatementLine(entry, changes, dict(balances))
    return [lines[entry.sequence] for entry in entries]


def _changes_of(entry: JournalEntry) -> dict[Bucket, int]:
    changes: dict[Bucket, int] = {}
    for posting in entry.postings:
        if isinstance(posting.bucket, Bucket):
            changes[posting.bucket] = changes.get(posting.bucket, 0) + posting.amount
    return changes
