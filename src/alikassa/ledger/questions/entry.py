"""One entry of an account's journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.ledger.questions.entries import ENTRIES, read_entries, select_entries

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.database import Database
    from alikassa.ledger.model import JournalEntry

__all__ = ["find_entry"]

_LARGEST = 2**63 - 1


async def find_entry(database: Database, account: uuid.UUID, sequence: int) -> JournalEntry | None:
    """The account's entry of that number, None when there is none."""
    if not 0 < sequence <= _LARGEST:
        return None
    async with database.read() as connection:
        found = await read_entries(connection, select_entries(account).where(ENTRIES.c.sequence == sequence))
    return found[0] if found else None
