"""A statement that does not come to its end: the writer does not wait for ever, and neither does its backend."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import pytest

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger import address, engines
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


@contextmanager
def slow_entries(file: Path) -> Iterator[None]:
    """Whoever books meanwhile has a trigger run for many seconds."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        # No trigger may count by itself, but it may look at what does.
        other.executescript(
            "CREATE VIEW many AS WITH RECURSIVE c(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000000) SELECT n FROM c;"
            "CREATE TRIGGER slow BEFORE INSERT ON journal_entries BEGIN SELECT count(*) FROM many; END;"
        )
        try:
            yield
        finally:
            other.executescript("DROP TRIGGER slow; DROP VIEW many;")


async def test_sqlite_gives_a_statement_up_and_goes_on(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs too long is interrupted; whoever waited is told, nothing was booked, the file is nobody's, and the
    same command is booked afterwards."""
    monkeypatch.setattr(engines, "WRITER_SECONDS", 0.3)
    async with await Database.open(sqlite_url, create=True) as database:
        (account,) = await open_accounts(database, 1)
        books, command = Books(database), Payment(account, 10**10, "order-1")
        assert database.address.sqlite_file is not None
        with slow_entries(database.address.sqlite_file):
            async with asyncio.timeout(10):
                with pytest.raises(DatabaseUnavailableError, match="in time"):
                    await books.book(command)
        assert not (await books.book(command)).repeated
        assert (await books.book(command)).repeated


async def test_the_writers_backend_gives_up_by_itself(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when nobody asks it to: a client that is cut off can send no request to cancel."""
    monkeypatch.setattr(engines, "WRITER_SECONDS", 0.3)
    monkeypatch.setattr(address, "_SPARE_SECONDS", 0.2)
    monkeypatch.setattr(asyncpg.Connection, "_cancel_current_command", lambda *_: None)
    async with await Database.open(postgresql_url, create=True) as database:
        (account,) = await open_accounts(database, 1)
        other, watching = [await asyncpg.connect(postgresql_url) for _ in range(2)]
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE accounts")
                with pytest.raises(DatabaseUnavailableError, match="in time"):
                    await Books(database).book(Payment(account, 10**10, "order-1"))
                async with asyncio.timeout(5):
                    while await watching.fetchval(_BUSY_WRITERS):  # noqa: ASYNC110 - PostgreSQL tells nobody
                        await asyncio.sleep(0.02)
        finally:
            await other.close()
            await watching.close()


_BUSY_WRITERS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'alikassa books' AND state = 'active' AND datname = current_database()
"""


async def test_a_commit_that_waits_for_a_standby_is_not_cut_short(
    postgresql_server: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL would call it committed, with the standby's word missing. Nobody is told so before the standby has
    it: here, before none is asked for any more."""
    monkeypatch.setattr(address, "_SPARE_SECONDS", 0.5 - engines.WRITER_SECONDS)
    async with await Database.open(postgresql_url, create=True) as database:
        (account,) = await open_accounts(database, 1)
        other = await asyncpg.connect(postgresql_server)
        await other.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        try:
            await other.execute("SELECT pg_reload_conf()")
            async with asyncio.timeout(10):
                while await other.fetchval("SHOW synchronous_standby_names") != "nobody":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            booking = asyncio.create_task(Books(database).book(Payment(account, 10**10, "order-1")))
            await asyncio.sleep(1.5)
            assert await other.fetchval(_WAIT_FOR_STANDBY) == 1
            assert not booking.done()
        finally:
            await other.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await other.execute("SELECT pg_reload_conf()")
            await other.close()
        async with asyncio.timeout(10):
            assert not (await booking).repeated


_WAIT_FOR_STANDBY = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alikassa books' AND wait_event = 'SyncRep'"
)
