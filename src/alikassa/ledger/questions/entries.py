"""Journal entries with their postings, as a statement chooses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from alikassa.ledger import rows
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.questions.reading import by_index_of, entries_of
from alikassa.ledger.schema import journal_entries, postings

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.model import JournalEntry, Kind

__all__ = [
    *("ENTRIES", "entries_between", "entries_by_reference", "entries_of_kinds", "read_entries", "select_entries"),
]

#: What `select_entries` selects from.
ENTRIES = journal_entries.alias("t")
_REFERENCE = columns_of(journal_entries, "lane", "account_id", "kind", "reference")
_NUMBER = columns_of(journal_entries, "lane", "account_id", "sequence")
_LINES = columns_of(postings, "lane", "account_id", "sequence")
#: Entries of any kind, for each line that is wanted, that are looked through one by one for those of some kinds.
_LOOKED_THROUGH = 50


def select_entries(account: uuid.UUID) -> sa.Select[Any]:
    """Entries of an account, to be narrowed down and ordered by columns of `ENTRIES`."""
    return (
        sa.select(sa.text(rows.ENTRY))
        .select_from(ENTRIES)
        .where(ENTRIES.c.lane == lane_of(account), ENTRIES.c.account_id == account)
    )


async def read_entries(connection: AsyncConnection, statement: sa.Select[Any]) -> list[JournalEntry]:
    """The entries that it selects, in its order."""
    return await _with_postings(connection, await connection.execute(statement))


async def entries_between(
    connection: AsyncConnection, account: uuid.UUID, before: int, last: int, most: int, *, newest: bool
) -> list[JournalEntry]:
    """Those after number `before` up to `last`, at most so many; with `newest`, from the last one backwards."""
    return await _with_postings(
        connection, await connection.execute(_between(account, before, last, most, newest=newest))
    )


async def entries_of_kinds(
    connection: AsyncConnection,
    account: uuid.UUID,
    kinds: Iterable[Kind],
    before: int,
    last: int,
    most: int,
    *,
    newest: bool,
) -> list[JournalEntry]:
    """As `entries_between`, of some kinds only.

    Where one entry in fifty is of them, those are found along the journal. Where they are fewer, the numbers of all
    that there are of these kinds are taken from the index of references, and the wanted ones from these.
    """
    names, far = [kind.value for kind in kinds], _LOOKED_THROUGH * most
    near = (max(before, last - far), last) if newest else (before, min(last, before + far))
    statement = _between(account, *near, most, newest=newest).where(ENTRIES.c.kind.in_(names))
    found = await read_entries(connection, statement)
    if len(found) == most or near == (before, last):
        return found
    rest = (before, near[0]) if newest else (near[1], last)
    numbers = await _numbers_of_kinds(connection, account, names, *rest, most - len(found), newest=newest)
    keys = [(lane_of(account), account, number) for number in numbers]
    more = await _with_postings(connection, await find_rows(connection, _NUMBER, keys, rows.ENTRY))
    return found + sorted(more, key=lambda one: one.sequence, reverse=newest)


async def _numbers_of_kinds(
    connection: AsyncConnection,
    account: uuid.UUID,
    names: Sequence[str],
    before: int,
    last: int,
    most: int,
    *,
    newest: bool,
) -> Sequence[int]:
    # An expression, which no index has: in the order of the primary key, all of the journal might be read.
    number = journal_entries.c.sequence + 0
    are_of_kinds = by_index_of(connection, journal_entries.c.kind.in_(names))
    statement = (
        sa.select(number)
        .where(*entries_of(account), are_of_kinds, number > before, number <= last)
        .order_by(number.desc() if newest else number)
        .limit(most)
    )
    return (await connection.scalars(statement)).all()


async def entries_by_reference(
    connection: AsyncConnection, account: uuid.UUID, kinds: Iterable[Kind], reference: str
) -> list[JournalEntry]:
    """One of each kind at most, in no order: found by the index of references, one key a kind."""
    keys = [(lane_of(account), account, kind.value, reference) for kind in kinds]
    return await _with_postings(connection, await find_rows(connection, _REFERENCE, keys, rows.ENTRY))


def _between(account: uuid.UUID, before: int, last: int, most: int, *, newest: bool) -> sa.Select[Any]:
    number = ENTRIES.c.sequence
    statement = select_entries(account).where(number > before, number <= last)
    return statement.order_by(number.desc() if newest else number).limit(most)


async def _with_postings(connection: AsyncConnection, heads: Iterable[Sequence[Any]]) -> list[JournalEntry]:
    found = [rows.identified(row) for row in heads]
    keys = [(lane_of(row[0]), row[0], row[1]) for row in found]
    lines: dict[int, list[Any]] = {row[1]: [] for row in found}
    for line in await find_rows(connection, _LINES, keys, rows.POSTING, order="t.line"):
        lines[line[1]].append(line)
    return [rows.entry(row, lines[row[1]]) for row in found]
