"""An account's entries of a period, between what it stood at before and after."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.ledger.model import BUCKETS, Bucket, JournalEntry, Kind
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.entries import ENTRIES, entries_by_reference, read_entries, select_entries
from alikassa.ledger.questions.reading import find_account, in_utc, last_entry, postings_of, require_limit, summed
from alikassa.ledger.rules.checks import LONGEST_REFERENCE, check_text
from alikassa.ledger.schema import postings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

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
        before = min((entry.sequence for entry in entries), default=period.last + 1) - 1
        lines = await _lines(connection, account, entries, before, await _stood_after(connection, period, before))
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

    The cost is that of the period once, where asking for each page costs the whole period again.
    """
    start, end = _ends(start, end)
    chosen = _Chosen(frozenset(kinds), reference)
    async with database.read() as connection:
        found = await find_account(connection, account)
        period = await _period(connection, found, start, end)
        done, balances, more = period.before, period.opening, True
        while more:
            entries = await _entries(connection, period, chosen, done, MOST_LINES)
            more = len(entries) == MOST_LINES
            lines = await _lines(connection, account, entries, done, balances)
            yield _page(found, start, end, period, lines, None)
            if lines:
                done, balances = lines[-1].entry.sequence, lines[-1].balances


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
    """From the entry after `before` up to `last`, and what the buckets stood at there."""

    account: uuid.UUID
    before: int
    last: int
    opening: dict[Bucket, int]
    closing: dict[Bucket, int]


async def _period(
    connection: AsyncConnection, account: Account, start: datetime | None, end: datetime | None
) -> _Period:
    """Back from what is materialised, by the postings after the period and by its own. Accounts begin with nothing."""
    before = 0 if start is None else await last_entry(connection, account, start, before=True)
    last = account.sequence if end is None else await last_entry(connection, account, end, before=True)
    closing = _less(account.buckets, await _changes(connection, account.id, last, account.sequence))
    opening = dict.fromkeys(BUCKETS, 0)
    if before:
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
    if chosen.reference is not None:
        named = await entries_by_reference(connection, period.account, chosen.kinds or Kind, chosen.reference)
        named = [entry for entry in named if before < entry.sequence <= last]
        return sorted(named, key=lambda one: one.sequence, reverse=newest)[:most]
    number = ENTRIES.c.sequence
    statement = select_entries(period.account).where(number > before, number <= last)
    if chosen.kinds:
        statement = statement.where(ENTRIES.c.kind.in_([kind.value for kind in chosen.kinds]))
    return await read_entries(connection, statement.order_by(number.desc() if newest else number).limit(most))


async def _stood_after(connection: AsyncConnection, period: _Period, sequence: int) -> dict[Bucket, int]:
    """The buckets after an entry of the period, from the end that is nearer."""
    if sequence - period.before <= period.last - sequence:
        moved = await _changes(connection, period.account, period.before, sequence)
        return {bucket: amount + moved.get(bucket, 0) for bucket, amount in period.opening.items()}
    return _less(period.closing, await _changes(connection, period.account, sequence, period.last))


async def _lines(
    connection: AsyncConnection,
    account: uuid.UUID,
    entries: Sequence[JournalEntry],
    done: int,
    balances: dict[Bucket, int],
) -> list[StatementLine]:
    """In the order of `entries`, from what the account stood at after the entry `done`.

    Between two lines may be entries that are none: they move the balances on.
    """
    balances = dict(balances)
    lines: dict[int, StatementLine] = {}
    for entry in sorted(entries, key=lambda one: one.sequence):
        changes = _changes_of(entry)
        for moved in (await _changes(connection, account, done, entry.sequence - 1), changes):
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
