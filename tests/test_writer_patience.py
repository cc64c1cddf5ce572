"""A database that stops answering without a word: the writer does not wait for ever."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger import engines
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from crash_checks import open_accounts

pytestmark = pytest.mark.anyio


async def test_a_writer_gives_up_and_goes_on(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement without an answer ends in time; nothing was booked, and the same command is booked afterwards."""
    monkeypatch.setattr(engines, "WRITER_SECONDS", 0.3)
    async with await Database.open(postgresql_url, create=True) as database:
        (account,) = await open_accounts(database, 1)
        books, command = Books(database), Payment(account, 10**10, "order-1")
        other = await asyncpg.connect(postgresql_url)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE accounts")
                async with asyncio.timeout(10):
                    with pytest.raises(DatabaseUnavailableError, match="in time"):
                        await books.book(command)
        finally:
            await other.close()
        assert not (await books.book(command)).repeated
