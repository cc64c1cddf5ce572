"""What is left undone, and what is not, while the database is not what it was."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.ledger import engines
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, Payment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.server import seldom, shared
from conftest import PAGE_ACCOUNT, Shop, open_shop
from crash_checks import open_accounts
from operator_server import operator_here

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


async def test_a_commit_to_a_file_that_was_replaced_is_not_acknowledged(sqlite_shop: Shop) -> None:
    """The copy in its place does not have it: whoever asks is not told that it is booked, and repeats."""
    async with await Database.open(sqlite_shop.database) as database:
        file = database.address.sqlite_file
        assert file is not None
        books = Books(database)
        await books.book(adjustment("before"))
        other, copy = sqlite3.connect(file), sqlite3.connect(file.with_name("copy.db"))
        other.execute("BEGIN IMMEDIATE")
        booking = asyncio.create_task(books.book(adjustment("meanwhile")))
        registering = asyncio.create_task(Registry(database).add_merchant("Meanwhile"))
        await asyncio.sleep(0.2)
        with sqlite3.connect(file) as source:
            source.backup(copy)
        source.close()
        copy.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{file}{end}").rename(f"{file}.old{end}")
        file.with_name("copy.db").rename(file)
        other.rollback()
        other.close()
        for task in (booking, registering):
            with pytest.raises(DatabaseUnavailableError, match="Another file"):
                await task
        assert not (await books.book(adjustment("meanwhile"))).repeated
        assert (await books.book(adjustment("before"))).repeated


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"


async def test_a_question_that_takes_too_long_is_given_up(shop: Shop) -> None:
    """By the database too; the next one is answered."""
    database = Database.attach(shop.database, seconds=0.3)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(DatabaseUnavailableError, match="in time"):
                async with database.read() as connection:
                    await connection.execute(sa.text(ENDLESS))
        async with database.read() as connection:
            assert await connection.scalar(sa.text("SELECT count(*) FROM accounts")) == 1
            busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'WITH RECURSIVE n%' AND state = 'active'"
            assert not database.is_postgresql or await connection.scalar(sa.text(busy)) == 0
    finally:
        await database.close()


async def test_each_statement_has_its_own_time(shop: Shop) -> None:
    """What is read in many, a verification or a page of the cabinet, may take longer altogether."""
    database = Database.attach(shop.database, seconds=0.3)
    try:
        async with database.read() as connection:
            for _ in range(2):
                assert await connection.scalar(sa.text(ENDLESS.replace("1000000000", "100000"))) == 100_000
                await asyncio.sleep(0.35)
    finally:
        await database.close()


async def test_a_read_only_database_is_known_as_such(postgresql_url: str) -> None:
    """It takes no writing transaction; what a batch met is known until one is booked again."""
    async with await Database.open(postgresql_url, create=True) as database:
        (account,) = await open_accounts(database, 1)
        books, command = Books(database), Payment(account, 10**10, "order-1")
        await database.check_writable()
        await _read_only(postgresql_url, "on")
        with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
            await database.check_writable()
        with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
            await books.book(command)
        assert books.trouble is not None
        await _read_only(postgresql_url, "off")
        await database.check_writable()
        assert not (await books.book(command)).repeated
        assert books.trouble is None


async def _read_only(url: str, value: str) -> None:
    own = await asyncpg.connect(url)
    await own.execute("SET default_transaction_read_only = off")
    name = await own.fetchval("SELECT current_database()")
    await own.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    await own.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await own.close()


def test_the_same_is_said_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a few seconds a kind, and then how many were not said."""
    monkeypatch.setattr(seldom, "SECONDS", 0.2)
    saying = seldom.Seldom()
    assert [saying.unsaid("away") for _ in range(3)] == [0, None, None]
    assert saying.unsaid("full") == 0
    time.sleep(0.25)
    assert saying.unsaid("away") == 2


def test_the_operator_is_told_whether_it_is_ready(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 while nobody can write, without a token and without insides; 200 when that is over."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(shared, "FRESH_SECONDS", 0.0)
    with operator_here(sqlite_url) as operator:
        ready = operator.bearing("").ask("GET", "/operator/readyz")
        assert (ready.status, ready.json) == (200, {"status": "ready"})
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
        other.execute("BEGIN IMMEDIATE")
        answer = operator.bearing("").ask("GET", "/operator/readyz")
        assert (answer.status, answer.json, answer.headers["retry-after"]) == (503, {"status": "not ready"}, "1")
        other.rollback()
        other.close()
        assert operator.ask("GET", "/operator/readyz").status == 200
