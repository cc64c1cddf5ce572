"""From the journal into a form."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

import msgspec

from alikassa.errors import NotFoundError
from alikassa.ledger import store
from alikassa.ledger.export.beancount import BeancountWriter
from alikassa.ledger.export.for_programs import CsvWriter, JsonLinesWriter
from alikassa.ledger.export.hledger import HledgerWriter
from alikassa.ledger.export.journal import Journal

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.database import Database

__all__ = ["Exported", "Form", "export"]


class Form(StrEnum):
    """Forms of export."""

    CSV = "csv"
    JSONL = "jsonl"
    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


_WRITERS = {
    Form.CSV: CsvWriter,
    Form.JSONL: JsonLinesWriter,
    Form.HLEDGER: HledgerWriter,
    Form.BEANCOUNT: BeancountWriter,
}


class Exported(msgspec.Struct, frozen=True):
    """How much there was."""

    accounts: int
    entries: int


async def export(database: Database, form: Form, out: TextIO, *, account: uuid.UUID | None = None) -> Exported:
    """Write the journal to `out` as it is read: all accounts, or one (NotFoundError if there is none).

    By account, and in the order of each account's entries; amounts with all their eight decimals. DatabaseError when
    the books cannot be read; by then, some of it is written.
    """
    writer = _WRITERS[form](out)
    accounts = entries = 0
    async with database.read() as connection:
        if account is not None and await store.find_account(connection, account) is None:
            raise NotFoundError(f"There is no account {account}.", remedy="List them: alikassa account list")
        journal = Journal(connection, account)
        writer.begin()
        async for owned in journal.accounts():
            writer.begin_account(owned)
            async for entry in journal.entries(owned.account):
                writer.write(owned, entry)
                entries += 1
            writer.end_account(owned)
            accounts += 1
        writer.end()
    return Exported(accounts, entries)
