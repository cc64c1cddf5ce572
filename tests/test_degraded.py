"""What is left undone, and what is not, while the database is not what it was."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from alikassa.errors import DatabaseError
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.reader import reader_for
from conftest import PAGE_ACCOUNT, Shop, open_shop

pytestmark = pytest.mark.anyio


def adjustment(reference: str) -> Adjustment:
    return Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.BALANCE, 100_000_000, reference, "a test")


async def test_a_file_that_was_moved_away_does_not_come_back_empty(sqlite_shop: Shop) -> None:
    """Who asks while it is away is refused; back in its place it has all that was committed, the log's too."""
    async with await Database.open(sqlite_shop.database) as database:
        file = database.address.sqlite_file
        assert file is not None
        books, reader = Books(database), reader_for(database)
        before = await reader.find(PAGE_ACCOUNT)
        assert before is not None
        await books.book(adjustment("in-the-log"))
        away = file.rename(file.with_suffix(".away"))
        for ask in (_read(database), _write(database), books.book(adjustment("meanwhile"))):
            with pytest.raises(DatabaseError):
                await ask
        await asyncio.sleep(0.03)
        with pytest.raises(DatabaseError):
            await reader.find(PAGE_ACCOUNT)
        assert not file.exists()
        away.rename(file)
        found = await reader.find(PAGE_ACCOUNT)
        assert found is not None
        assert (before.balance, found.balance) == ("93.84000000", "94.84000000")
        assert not (await books.book(adjustment("meanwhile"))).repeated
        assert (await books.book(adjustment("in-the-log"))).repeated
        await reader.close()


async def _read(database: Database) -> None:
    async with database.read():
        pass


async def _write(database: Database) -> None:
    async with database.write():
        pass


async def test_the_url_says_which_server_is_asked(postgresql_url: str) -> None:
    """Where it names another kind than a primary, that is what is asked for."""
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await Address.parse(f"{postgresql_url}&target_session_attrs=standby").connect()


async def _end_readers(url: str) -> None:
    own = await asyncpg.connect(url)
    await own.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'alikassa balance'"
    )
    await own.close()


async def test_a_reader_asks_anew_when_its_connection_was_lost(
    postgresql_url: str, archives: Callable[[str], Path], anyio_backend: str
) -> None:
    """A backend that was ended while it was idle costs nobody an answer."""
    await open_shop(postgresql_url, archives("payout"), archives("payment"))
    async with await Database.open(postgresql_url) as database:
        reader = reader_for(database)
        assert await reader.find(PAGE_ACCOUNT) is not None
        # Without a turn of this loop, so that nobody has noticed.
        ending = threading.Thread(target=lambda: asyncio.run(_end_readers(postgresql_url)))
        ending.start()
        ending.join()
        found = await reader.find(PAGE_ACCOUNT)
        assert found is not None
        assert found.balance == "93.84000000"
        await reader.close()
