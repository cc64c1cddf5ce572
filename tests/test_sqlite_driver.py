"""SQLite's driver as SQLAlchemy uses it: all rows, few turns of its thread, few threads."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.reader import AccountReader, reader_for
from alikassa.ledger.sqlite_driver import DriverConnection, connect
from alikassa.ledger.sqlite_file import note_error
from conftest import Shop

pytestmark = pytest.mark.anyio

_COUNTED = sa.text(
    "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :most) SELECT n FROM counted"
)


@pytest.mark.parametrize("most", [1, 499, 500, 501, 1700])
async def test_every_row_comes_once_and_in_order(sqlite_url: str, most: int) -> None:
    expected = list(range(1, most + 1))
    async with await Database.open(sqlite_url, create=True) as database, database.read() as connection:
        assert list((await connection.scalars(_COUNTED, {"most": most})).all()) == expected
        async with connection.stream(_COUNTED, {"most": most}) as stream:
            assert [row.n async for row in stream] == expected
        async with connection.stream(_COUNTED, {"most": most}) as stream:
            assert [row.n for row in await stream.fetchmany(3)] == expected[:3]
        # One that was left before its end is in nobody's way.
        assert await connection.scalar(_COUNTED, {"most": most}) == 1


async def test_a_changed_row_is_counted_and_given_back(sqlite_url: str) -> None:
    async with await Database.open(sqlite_url, create=True) as database, database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        many = await connection.execute(
            sa.text("INSERT INTO numbers VALUES (:n)"), [{"n": number} for number in range(7)]
        )
        assert many.rowcount == 7
        changed = await connection.execute(sa.text("UPDATE numbers SET n = n + 100 WHERE n < 3 RETURNING n"))
        assert sorted(changed.scalars()) == [100, 101, 102]
        assert (await connection.execute(sa.text("DELETE FROM numbers WHERE n < 100"))).rowcount == 4


@pytest.mark.parametrize("most", [499, 500, 1700])
async def test_rows_that_are_given_back_are_counted_to_the_last(sqlite_url: str, most: int) -> None:
    async with await Database.open(sqlite_url, create=True) as database, database.write() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        cursor = driver.cursor()
        await cursor.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        counted = _COUNTED.text.replace(":most", "?")
        await cursor.execute(f"INSERT INTO numbers {counted} RETURNING n", (most,))
        assert len(await cursor.fetchall()) == cursor.rowcount == most


async def test_a_statement_takes_one_turn(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    run: Any = DriverConnection._execute

    async def counted(self: DriverConnection, work: Any, *given: Any, **named: Any) -> Any:
        turns.append(work)
        return await run(self, work, *given, **named)

    monkeypatch.setattr(DriverConnection, "_execute", counted)
    async with await Database.open(sqlite_url, create=True) as database, database.read() as connection:
        await connection.scalar(sa.text("SELECT 1"))
        turns.clear()
        for _ in range(5):
            assert await connection.scalar(_COUNTED, {"most": 100}) == 1
        assert len(turns) == 5


async def test_questions_one_after_another_share_a_thread(sqlite_url: str) -> None:
    threads = set()
    async with await Database.open(sqlite_url, create=True) as database:
        before = set(threading.enumerate())
        for _ in range(20):
            async with database.read() as connection:
                await connection.scalar(sa.text("SELECT 1"))
            threads |= set(threading.enumerate()) - before
        assert not threads
        # As many as are needed at once, and no more than a few of them stay.
        await asyncio.gather(*(_ask(database) for _ in range(12)))
        assert len(await _begun_since(before, most=5)) <= 5
    assert not await _begun_since(before, most=0)


async def _begun_since(before: set[threading.Thread], most: int) -> set[threading.Thread]:
    """Threads that stay. One that has closed its connection is there for a moment more."""
    for _ in range(200):
        found = set(threading.enumerate()) - before
        if len(found) <= most:
            break
        await asyncio.sleep(0.01)
    return found


async def _ask(database: Database) -> None:
    async with database.read() as connection:
        await connection.scalar(_COUNTED, {"most": 20_000})


async def test_a_file_that_takes_its_place_while_one_is_opened_is_read(sqlite_url: str, tmp_path: Path) -> None:
    """The connection that was opened to the old file is not taken for one to the new."""
    file = Address.parse(sqlite_url).sqlite_file
    assert file is not None
    async with await Database.open(sqlite_url, create=True):
        pass
    other = tmp_path / "other.db"
    shutil.copy(file, other)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA user_version = 7")
    async with await Database.open(sqlite_url) as database:

        def replace(_connection: Any, _record: Any) -> None:
            if other.exists():
                other.rename(file)

        await database._engine.dispose()
        sa.event.listen(database._engine.sync_engine, "connect", replace, insert=True)
        for _ in range(2):
            async with database.read() as reading:
                assert await reading.scalar(sa.text("PRAGMA user_version")) == 7


_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM settings").fetchall()
print(flush=True)
sys.stdin.read()
"""


async def test_a_file_that_was_read_only_for_a_while_is_written_to_again(sqlite_url: str) -> None:
    """Connections that were opened meanwhile could never write, nor let others of this process do it."""
    async with await Database.open(sqlite_url, create=True) as database:
        file = database.address.sqlite_file
        assert file is not None
        # What is open before may go on writing.
        await database._engine.dispose()
        with _held(file), _immutable(file):
            await asyncio.gather(*(_ask(database) for _ in range(4)))
            with pytest.raises(DatabaseError):
                await _count_once(database)
        # Not by the pool, which would look at each connection that it hands out.
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE counted (n INTEGER)")
        for _ in range(6):
            await _count_once(database)


async def test_whoever_joined_a_read_only_index_does_not_keep_it(sqlite_url: str) -> None:
    """A reader that opens the writable files while another connection still has their index read-only shares it. What
    is written then is refused, and after that the reader lets go."""
    async with _attached(sqlite_url) as (database, reader, file):
        with _held(file):
            with _immutable(file):
                earlier = sqlite3.connect(file)
                earlier.execute("SELECT count(*) FROM accounts").fetchone()
            await reader.ping()
            earlier.close()
            with pytest.raises(DatabaseError, match="cannot be written to"):
                await database.check_writable()
            await reader.ping()
            await database.check_writable()


async def test_whoever_is_idle_lets_go_of_a_file_that_was_read_only(sqlite_url: str) -> None:
    """A reader that nobody asks anything holds up no writer."""
    async with _attached(sqlite_url) as (database, reader, file):
        with _held(file):
            with _immutable(file):
                await reader.ping()
                with pytest.raises(DatabaseError, match="cannot be written to"):
                    await database.check_writable()
            await database.check_writable()


async def test_a_file_that_was_read_only_is_written_to_again_however_busy_it_is(sqlite_url: str) -> None:
    """At no moment is nobody reading; whoever begins to waits until those are done who began while it was read-only."""
    async with _attached(sqlite_url) as (database, reader, file):
        failed: list[str] = []
        reads = 0

        async def ask() -> None:
            nonlocal reads
            while True:
                try:
                    async with database.read() as connection:
                        await connection.scalar(sa.text("SELECT count(*) FROM accounts"))
                        await asyncio.sleep(0.03)
                    await reader.ping()
                    reads += 1
                except DatabaseError as error:
                    failed.append(str(error))
                    await asyncio.sleep(0.01)

        with _held(file):
            with _immutable(file):
                asking = [asyncio.create_task(ask()) for _ in range(12)]
                await asyncio.sleep(0.5)
                with pytest.raises(DatabaseError, match="cannot be written to"):
                    await database.check_writable()
                assert reads >= 12
                assert not failed
            await database.check_writable()
            failed.clear()
            reads = 0
            await asyncio.sleep(0.5)
            assert reads >= 12
            assert not failed
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def test_a_writer_that_is_kept_lets_go_when_another_is_refused(sqlite_url: str) -> None:
    """Its connection is closed while it is idle, and it goes on with another one."""
    async with await Database.open(sqlite_url, create=True) as database:
        file = database.address.sqlite_file
        assert file is not None
        writer = database.writer()
        async with writer.transaction() as connection:
            await connection.execute(sa.text("CREATE TABLE counted (n INTEGER)"))
        note_error(file, sqlite3.OperationalError("attempt to write a readonly database"))
        await asyncio.sleep(0.1)
        assert _open_files(file) == 0
        async with writer.transaction() as connection:
            await connection.execute(sa.text("INSERT INTO counted VALUES (1)"))
            note_error(file, sqlite3.OperationalError("attempt to write a readonly database"))
        assert _open_files(file) == 0
        await _count_once(database)


@pytest.mark.by_the_clock
async def test_whoever_waits_for_what_was_read_only_is_told(sqlite_url: str) -> None:
    """Not for ever: a question that takes long holds it up, and once that is done it goes on."""
    async with _attached(sqlite_url) as (database, _, file):
        with _held(file):
            async with AsyncExitStack() as stack:
                with _immutable(file):
                    reading = await stack.enter_async_context(database.read())
                    await reading.scalar(sa.text("SELECT count(*) FROM accounts"))
                began = time.monotonic()
                with pytest.raises(DatabaseUnavailableError, match="was read-only, and is still open"):
                    await database.check_writable()
                assert 0.9 < time.monotonic() - began < 3
            await database.check_writable()


async def test_what_was_booked_is_told_again_while_the_file_is_read_only(sqlite_shop: Shop) -> None:
    """Whoever repeats a command because nobody told him what became of it needs no write for that; it does not count
    as ready to book all the same."""
    file = Path(sqlite_shop.database.removeprefix("sqlite:///"))
    known, other = (Payment(uuid.UUID(sqlite_shop.account), 100, reference) for reference in ("known", "other"))
    async with Database.attach(sqlite_shop.database) as database:
        first = await Books(database).book(known)
    with _held(file), _immutable(file):
        async with Database.attach(sqlite_shop.database) as database:
            books = Books(database)
            with pytest.raises(DatabaseError, match="cannot be written to"):
                await books.book(other)
            again = await books.book(known)
            assert again.repeated
            assert again.entry == first.entry
            with pytest.raises(DatabaseError, match="cannot be written to"):
                await database.check_writable()


@asynccontextmanager
async def _attached(url: str) -> AsyncIterator[tuple[Database, AccountReader, Path]]:
    """New books, which nobody has open yet."""
    await (await Database.open(url, create=True)).close()
    async with Database.attach(url) as database:
        reader = reader_for(database)
        yield database, reader, Path(url.removeprefix("sqlite:///"))
        await reader.close()


def _open_files(file: Path) -> int:
    """How often this process has it open."""
    found = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return found.count(str(file))


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """Open in another process too, so that its log and the log's index are there."""
    command = [sys.executable, "-c", _HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate()


@contextmanager
def _immutable(file: Path) -> Iterator[None]:
    parts = [file, *file.parent.glob(f"{file.name}-*")]
    assert len(parts) == 3
    if subprocess.run(["chattr", "+i", *parts], capture_output=True, check=False).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *parts], check=True)


async def _count_once(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("INSERT INTO counted VALUES (1)"))


async def test_whoever_is_cancelled_twice_waits_for_no_thread_that_has_ended(sqlite_url: str) -> None:
    """Closing twice is closing once."""
    async with await Database.open(sqlite_url, create=True) as database:
        file = database.address.sqlite_file
        assert file is not None
        connection = await connect(file, 1.0)
        stopped = connection.stop()
        assert stopped is not None
        await stopped
        assert connection.stop() is None
        async with asyncio.timeout(2):
            await connection.close()
