"""Reading the journal from one end to the other, in one state of the database, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec
import sqlalchemy as sa

from alikassa.errors import DatabaseError
from alikassa.ledger import rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Account, JournalEntry
from alikassa.ledger.schema import accounts, journal_entries, merchants, postings
from alikassa.ledger.verify import shapes
from alikassa.ledger.verify.pages import Pages
from alikassa.ledger.verify.problems import Problem, Problems

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Journal", "Owned"]


class Owned(msgspec.Struct, frozen=True):
    """An account, and its merchant's name."""

    account: Account
    merchant: str


class _Refused(Problems):
    """What cannot be read is not exported either."""

    def add(self, account: uuid.UUID | None, sequence: int | None, what: str) -> NoReturn:
        raise DatabaseError(
            f"The books cannot be exported. {Problem(account, sequence, what)}", remedy="Run: alikassa books verify"
        )


class Journal:
    """Accounts by their keys, and the entries of each in their order: ask for those before going on."""

    def __init__(self, connection: AsyncConnection, account: uuid.UUID | None) -> None:
        self._connection = connection
        refused, made = _Refused(), ("lane", "account_id", "sequence", "line")
        self._accounts = Pages(
            connection, refused, accounts, ("lane", "id"), f"{rows.ACCOUNT}, t.lane", shapes.account, account=account
        )
        self._entries = Pages(
            connection, refused, journal_entries, made[:3], f"{rows.ENTRY}, t.lines", shapes.entry, account=account
        )
        self._postings = Pages(
            connection, refused, postings, made, f"{rows.POSTING}, t.line", shapes.posting, account=account
        )

    async def accounts(self) -> AsyncIterator[Owned]:
        found = await self._connection.execute(sa.select(merchants.c.id, merchants.c.name))
        names: dict[uuid.UUID, str] = {row.id: row.name for row in found}
        async for account, _ in self._accounts.within(()):
            yield Owned(account, names[account.merchant])
        await self._entries.drain()
        await self._postings.drain()

    async def entries(self, account: Account) -> AsyncIterator[JournalEntry]:
        here = (lane_of(account.id), str(account.id))
        async for entry, _ in self._entries.within(here):
            lines = await self._postings.take((*here, entry.sequence))
            yield msgspec.structs.replace(entry, postings=tuple(posting for _, posting in lines))
