"""A read that does not come to its end: whoever waits is told, and nothing goes on with it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from alikassa.cli.commands.options import parse_amount
from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger import reader_lanes, reader_postgresql, reader_sqlite
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import reader_for
from alikassa.ledger.reader_lanes import LaneReader
from alikassa.ledger.reader_postgresql import PostgresqlReader
from alikassa.ledger.replicas import beats as beats_module
from alikassa.ledger.replicas import permissions as permissions_module
from alikassa.ledger.replicas.beats import Beats
from alikassa.ledger.replicas.numbers import NumbersServer
from alikassa.ledger.replicas.permissions import Permissions
from conftest import PAGE_ACCOUNT, Shop

pytestmark = pytest.mark.anyio

_BUSY = """
SELECT application_name FROM pg_stat_activity
WHERE application_name LIKE 'alikassa%' AND state = 'active' AND datname = current_database()
ORDER BY 1
"""


@pytest.mark.by_the_clock
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_backends_give_a_read_up_by_themselves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reader tells who waits, and drops its connection. PostgreSQL does not notice that while it waits for
    somebody's lock: within seconds the backend has given up all the same, and not before its reader."""
    for module in (reader_postgresql, reader_lanes, permissions_module):
        monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(beats_module, "_BEAT_SECONDS", 0.5)
    address = Address.parse(shop.database)
    reader, lanes, permissions = PostgresqlReader(address), LaneReader(address, None), Permissions(address, None)
    numbers, beats = NumbersServer("primary", address, uuid.uuid4(), 0.5, standby=False), Beats(address)
    async with AsyncExitStack() as stack:
        for one in (reader, lanes, permissions, beats):
            stack.push_async_callback(one.close)
        # Within a transaction it would always see the same.
        other, watching = [await asyncpg.connect(shop.database) for _ in range(2)]
        for connection in (other, watching):
            stack.push_async_callback(connection.close)

        async def busy() -> list[str]:
            return [row[0] for row in await watching.fetch(_BUSY)]

        async with other.transaction():
            await other.execute("LOCK TABLE accounts, heartbeats")
            begun = time.monotonic()
            found = await asyncio.gather(
                *(reader.find(PAGE_ACCOUNT), lanes.find(PAGE_ACCOUNT), permissions.find([PAGE_ACCOUNT])),
                *(numbers.numbers([PAGE_ACCOUNT]), beats.beat()),
                return_exceptions=True,
            )
            numbers.drop()
            assert [type(error) for error in found[:4]] == [DatabaseUnavailableError] * 3 + [TimeoutError]
            assert found[4] is False
            assert time.monotonic() - begun < 3
            whose = ("balance", "balance", "heartbeat", "numbers", "permissions")
            assert await busy() == [f"alikassa {one}" for one in whose]
            async with asyncio.timeout(6):
                while await busy():  # noqa: ASYNC110 - PostgreSQL tells nobody
                    await asyncio.sleep(0.05)
        assert await reader.find(PAGE_ACCOUNT) is not None


@contextmanager
def many_lots(file: Path) -> Iterator[None]:
    """In the place of the table of lots, more of them than anybody counts in seconds."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("ALTER TABLE lots RENAME TO lots_kept")
        other.execute(
            "CREATE VIEW lots AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000000)"
            " SELECT l.* FROM lots_kept AS l CROSS JOIN c"
        )
        try:
            yield
        finally:
            other.execute("DROP VIEW lots")
            other.execute("ALTER TABLE lots_kept RENAME TO lots")


@pytest.mark.by_the_clock
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_sqlite_gives_a_read_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop waits with it, so not for long: whoever joined it is told 503's reason, and the next read is as ever."""
    monkeypatch.setattr(reader_sqlite, "_READ_SECONDS", 0.2)
    async with await Database.open(shop.database) as database:
        file, books, account = database.address.sqlite_file, Books(database), uuid.UUID(PAGE_ACCOUNT)
        assert file is not None
        await books.book(SetPolicy(account, Policy(hold_percent=parse_amount("100"), hold_days=1), "all is held"))
        long_ago = datetime.now(UTC) - timedelta(days=9)
        await books.book(Payment(account, 10**9, "due", effective_at=long_ago))
        reader = reader_for(database)
        with many_lots(file):
            begun = time.monotonic()
            asking = [reader.find(PAGE_ACCOUNT), reader.find(str(uuid.uuid4()))]
            for error in await asyncio.gather(*asking, return_exceptions=True):
                assert isinstance(error, DatabaseUnavailableError)
                assert "in time" in str(error)
            assert 0.2 <= time.monotonic() - begun < 2
        found = await reader.find(PAGE_ACCOUNT)
        assert found is not None
        assert found.balance == "103.84000000"
        await reader.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_many_short_reads_are_no_long_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite counts its steps from one read to the next; each has its own time all the same."""
    monkeypatch.setattr(reader_sqlite, "_READ_SECONDS", 0.3)
    monkeypatch.setattr(reader_sqlite, "_STEPS", 1)
    async with await Database.open(shop.database) as database:
        reader = reader_for(database)
        for _ in range(3):
            await reader.ping()
            assert await reader.find(PAGE_ACCOUNT) is not None
            await asyncio.sleep(0.35)
        await reader.close()
