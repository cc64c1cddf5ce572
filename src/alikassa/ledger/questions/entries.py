"""Journal entries with their postings, as a statement chooses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from alikassa.ledger import rows
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.schema import journal_entries, postings

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.model import JournalEntry, Kind

__all__ = ["ENTRIES", "entries_by_reference", "read_entries", "select_entries"]

#: What `select_entries` selects from.
ENTRIES = journal_entries.alias("t")
_REFERENCE = columns_of(journal_entries, "lane", "account_id", "kind", "reference")
_LINES = columns_of(postings, "lane", "account_id", "sequence")


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


async def entries_by_reference(
    connection: AsyncConnection, account: uuid.UUID, kinds: Iterable[Kind], reference: str
) -> list[JournalEntry]:
    """One of each kind at most, in no order: found by the index of references, one key a kind."""
    keys = [(lane_of(account), account, kind.value, reference) for kind in kinds]
    return await _with_postings(connection, await find_rows(connection, _REFERENCE, keys, rows.ENTRY))


async def _with_postings(connection: AsyncConnection, heads: Iterable[Sequence[Any]]) -> list[JournalEntry]:
    found = [rows.identified(row) for row in heads]
    keys = [(lane_of(row[0]), row[0], row[1]) for row in found]
    lines: dict[int, list[Any]] = {row[1]: [] for row in found}
    for line in await find_rows(connection, _LINES, keys, rows.POSTING, order="t.line"):
        lines[line[1]].append(line)
    return [rows.entry(row, lines[row[1]]) for row in found]
