"""An account's entries of a period, between what it stood at before and after."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.ledger.model import Account, Bucket, JournalEntry, Kind
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.entries import entries_between, entries_by_reference, entries_of_kinds
from alikassa.ledger.questions.reading import find_account, in_utc, require_limit
from alikassa.ledger.questions.stood import Buckets, Point, last_entries_before, stood_after
from alikassa.ledger.rules.checks import LONGEST_REFERENCE, check_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database

__all__ = ["MOST_LINES", "Statement", "StatementLine", "statement", "statement_pages"]

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
    start, end = _ends(start, end)
    if reference is not None:
        check_text(reference, "reference", LONGEST_REFERENCE)
    question = (account, start, end, *sorted(set(kinds)), reference, newest)
    position = None if after is None else read_cursor(after, question, _Position).sequence
    async with database.read() as connection:
        found = await find_account(connection, account)
        period = await _period(connection, found, start, end)
        chosen = _Chosen(frozenset(kinds), reference, newest)
        entries = await _entries(connection, period, chosen, position, limit + 1)
        more, entries = len(entries) > limit, entries[:limit]
        lines = await _lines(connection, period, entries)
    cursor = write_cursor(question, _Position(entries[-1].sequence)) if more else None
    return _page(found, start, end, period, lines, cursor)


async def statement_pages(
    database: Database,
    account: uuid.UUID,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    kinds: Collection[Kind] = (),
    reference: str | None = None,
) -> AsyncIterator[Statement]:
    """All of a statement, page after page of one state of the books; at least one. None has a cursor.

    They are of one state of the books, and each goes on where the one before has ended.
    """
    start, end = _ends(start, end)
    chosen = _Chosen(frozenset(kinds), reference)
    async with database.read() as connection:
        found = await find_account(connection, account)
        period = await _period(connection, found, start, end)
        done, more = period.before, True
        while more:
            entries = await _entries(connection, period, chosen, done, MOST_LINES)
            more = len(entries) == MOST_LINES
            yield _page(found, start, end, period, await _lines(connection, period, entries), None)
            done = entries[-1].sequence if entries else done


def _ends(start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
    start, end = (None if one is None else in_utc(one, "A period's end") for one in (start, end))
    if start is not None and end is not None and start > end:
        raise InvalidInputError("The period ends before it starts.", remedy="Give the earlier time first.")
    return start, end


def _page(
    account: Account,
    start: datetime | None,
    end: datetime | None,
    period: _Period,
    lines: list[StatementLine],
    cursor: str | None,
) -> Statement:
    return Statement(
        account=account.id,
        currency=account.currency,
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
    """From the account's entry after `before` up to `last`, and what the buckets stood at there."""

    account: Account
    before: int
    last: int
    opening: Buckets
    closing: Buckets


async def _period(
    connection: AsyncConnection, account: Account, start: datetime | None, end: datetime | None
) -> _Period:
    ends = [(account, one) for one in (start, end) if one is not None]
    found = iter(await last_entries_before(connection, ends))
    before = Point(account.id, 0) if start is None else next(found)
    last = Point(account.id, account.sequence) if end is None else next(found)
    stood = await stood_after(connection, [account], [before, last])
    return _Period(account, before.sequence, last.sequence, stood[before], stood[last])


class _Chosen(msgspec.Struct):
    """Which entries are lines, and in which order."""

    kinds: frozenset[Kind]
    reference: str | None
    newest: bool = False


async def _entries(
    connection: AsyncConnection, period: _Period, chosen: _Chosen, position: int | None, most: int
) -> list[JournalEntry]:
    """The next lines of the period after `position`, at most so many."""
    newest = chosen.newest
    before = period.before if newest or position is None else max(period.before, position)
    last = period.last if not newest or position is None else min(period.last, position - 1)
    account = period.account.id
    if chosen.reference is not None:
        named = await entries_by_reference(connection, account, chosen.kinds or Kind, chosen.reference)
        named = [entry for entry in named if before < entry.sequence <= last]
        return sorted(named, key=lambda one: one.sequence, reverse=newest)[:most]
    if chosen.kinds:
        return await entries_of_kinds(connection, account, chosen.kinds, before, last, most, newest=newest)
    return await entries_between(connection, account, before, last, most, newest=newest)


async def _lines(connection: AsyncConnection, period: _Period, entries: Sequence[JournalEntry]) -> list[StatementLine]:
    """In the order of `entries`. Between two lines may be entries that are none."""
    numbers = {entry.sequence for entry in entries}
    starts = [Point(period.account.id, number - 1) for number in numbers if number - 1 not in numbers]
    stood = {one.sequence: held for one, held in (await stood_after(connection, [period.account], starts)).items()}
    lines: dict[int, StatementLine] = {}
    for entry in sorted(entries, key=lambda one: one.sequence):
        changes = _changes_of(entry)
        balances = {bucket: held + changes.get(bucket, 0) for bucket, held in stood[entry.sequence - 1].items()}
        stood[entry.sequence] = balances
        lines[entry.sequence] = StatementLine(entry, changes, balances)
    return [lines[entry.sequence] for entry in entries]


def _changes_of(entry: JournalEntry) -> dict[Bucket, int]:
    changes: dict[Bucket, int] = {}
    for posting in entry.postings:
        if isinstance(posting.bucket, Bucket):
            changes[posting.bucket] = changes.get(posting.bucket, 0) + posting.amount
    return changes
