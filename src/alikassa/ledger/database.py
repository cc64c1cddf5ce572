"""One database, SQLite or PostgreSQL, behind one URL: opening it, its version, its errors."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from alikassa import clock
from alikassa.errors import DatabaseMissingError, DatabaseUnavailableError, DatabaseVersionError
from alikassa.ledger.address import Address
from alikassa.ledger.distribution.changing import IN_SEQUENCE
from alikassa.ledger.distribution.marker import FIND_ENGINE, FIND_SETTINGS
from alikassa.ledger.engines import BUSY_SECONDS, MOST_CONNECTIONS, WRITER_SECONDS, question_engine, writer_engine
from alikassa.ledger.failures import translated, unwritable
from alikassa.ledger.ids import LANES
from alikassa.ledger.schema import REVISION, settings
from alikassa.ledger.slow import COMMIT
from alikassa.ledger.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from alikassa.ledger.slow import SlowQueries

__all__ = ["QUESTION_SECONDS", "WRITER_SECONDS", "Database"]

#: The most that a statement of a server's questions may take, where somebody else waits for the connection. For the
#: writer's it is WRITER_SECONDS.
QUESTION_SECONDS = 10.0
# Two programs that meet an empty database at once: one migrates, the other waits. Any constant will do.
_MIGRATION_LOCK = 0x616C696B


class Database:
    """An open database whose schema is this program's. Made by `open`, ended by `close` or `async with`."""

    def __init__(self, address: Address, engine: AsyncEngine, slow: SlowQueries | None = None) -> None:
        self.address = address
        self._engine = engine
        self._writer_engine = writer_engine(address)
        self._slow = slow
        if slow is not None:
            for one in (self._engine, self._writer_engine):
                slow.listen(one)
        self._writers: list[Writer] = []
        self._slots = asyncio.Semaphore(MOST_CONNECTIONS)
        #: Whether its tables are spread over nodes; None until a connection has asked.
        self.is_spread: bool | None = None if self.is_postgresql else False

    @classmethod
    def attach(cls, url: str, slow: SlowQueries | None = None, *, seconds: float | None = None) -> Self:
        """The database at `url`, unseen: for a program whose parent has opened it and found it good.

        With `seconds` a statement of a question that takes longer is given up, by the database too:
        DatabaseUnavailableError.
        """
        address = Address.parse(url)
        return cls(address, question_engine(address, seconds), slow)

    @classmethod
    async def open(cls, url: str, *, create: bool = False, migrate: bool = False) -> Self:
        """Open the database at `url` and see that its schema is this program's.

        An empty database is given its tables when `create` is set, an older one is brought up to date when
        `migrate` is. Otherwise: DatabaseMissingError, DatabaseVersionError with the command to run.
        """
        database = cls.attach(url)
        database.address.find_file(create=create)
        try:
            await database._check(create=create, migrate=migrate)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        for writer in self._writers:
            await writer.close()
        await self._engine.dispose()
        await self._writer_engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements see one state of the database. Writes nothing."""
        async with self._connection() as connection:
            if self.is_postgresql:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that is committed at the end, rolled back on any error.

        On SQLite it holds the one write lock from its start, so that what it reads cannot change under it.
        """
        async with self._connection() as connection:
            opened = self.address.identity()
            await connection.execution_options(write=True)
            async with connection.begin():
                try:
                    yield connection
                except TimeoutError:
                    # Nor would it answer to a rollback.
                    await connection.invalidate()
                    raise
                committing = time.monotonic()
            if self._slow is not None:
                self._slow.took(COMMIT, committing)
            self.address.check_place(opened)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        async with self._slot(), translated(self.address), self._engine.connect() as connection:
            try:
                await self._mark(connection)
                yield connection
            except TimeoutError:
                await connection.invalidate()
                raise

    async def _mark(self, connection: AsyncConnection) -> None:
        """Have the statements of a connection name their lanes where tables are spread: see `is_by_lane`."""
        if self.is_spread is None:
            # An empty database has no settings yet.
            if await connection.scalar(sa.text(FIND_SETTINGS)):
                self.is_spread = await connection.scalar(sa.text(FIND_ENGINE)) is not None
            await connection.rollback()
        if self.is_spread:
            await connection.execution_options(by_lane=True)

    async def check_writable(self) -> None:
        """DatabaseUnavailableError when it takes no writing transaction."""
        async with self.write() as connection:
            if not self.is_postgresql:
                # The file may be read-only: a transaction that is to write begins there all the same.
                await connection.execute(sa.text("DELETE FROM settings WHERE 0"))
            elif await connection.scalar(sa.text("SHOW transaction_read_only")) == "on":
                raise unwritable(self.address)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the connections that may be open at once: on SQLite each is a thread."""
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise DatabaseUnavailableError(f"Too many questions wait for the database at {self.address}.") from None
        try:
            yield
        finally:
            self._slots.release()

    def writer(self) -> Writer:
        """A connection that is kept, for whoever writes one transaction after another. Ended with the database."""
        made = Writer(self.address, self._writer_engine, self._slow)
        self._writers.append(made)
        return made

    async def now(self, connection: AsyncConnection) -> datetime:
        """What time it is by the database's clock. SQLite has none but this machine's."""
        if not self.is_postgresql:
            return clock.now()
        moment: datetime = (await connection.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
        return moment.astimezone(UTC)

    async def revision(self) -> str | None:
        """The schema's revision, None on an empty database."""
        async with self.read() as connection:
            return await connection.run_sync(_revision)

    async def _check(self, *, create: bool, migrate: bool) -> None:
        found = await self.revision()
        if found != REVISION:
            self._may_migrate(found, create=create, migrate=migrate)
        if not self.is_postgresql:
            await self._use_write_ahead_log()
        if found != REVISION:
            await self._migrate()
        async with self.read() as connection:
            lanes = await connection.scalar(sa.select(settings.c.value).where(settings.c.name == "lanes"))
        if lanes != str(LANES):
            raise DatabaseVersionError(f"The database has {lanes} lanes, and this version works with {LANES}.")

    def _may_migrate(self, found: str | None, *, create: bool, migrate: bool) -> None:
        if found is None:
            if not create:
                raise DatabaseMissingError(
                    f"The database at {self.address} is empty.",
                    remedy="Check the URL, or give it tables with: alikassa database migrate --database URL",
                )
            return
        from alikassa.ledger.migrate import is_older

        if not is_older(found):
            raise DatabaseVersionError(
                f"The database at {self.address} has revision {found}, which this version does not know.",
                remedy="If a newer alikassa made it, upgrade this one.",
            )
        if not migrate:
            raise DatabaseVersionError(
                f"The database at {self.address} has revision {found}, and this version needs {REVISION}.",
                remedy="Back it up, then run: alikassa database migrate --database URL",
            )

    async def _migrate(self) -> None:
        from alikassa.ledger.migrate import upgrade

        async with self.write() as connection:
            if self.is_postgresql:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            if self.is_spread:
                await connection.execute(sa.text(IN_SEQUENCE))
            await connection.run_sync(upgrade)

    async def _use_write_ahead_log(self) -> None:
        """Readers never wait for the writer then. Kept in the file, but not in every copy of it."""
        until = time.monotonic() + BUSY_SECONDS
        async with translated(self.address), self._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None  # noqa: S101 - a live connection has its driver's
            while True:
                try:
                    mode = await (await driver.execute("PRAGMA journal_mode")).fetchone()
                    if mode != ("wal",):
                        await driver.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError:
                    # For this statement SQLite does not wait for another's lock as it does for all others.
                    if time.monotonic() > until:
                        raise
                    await asyncio.sleep(0.02)


def _revision(connection: sa.Connection) -> str | None:
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables or "settings" not in tables:
        raise DatabaseVersionError(
            f"The database holds tables that are not ours ({', '.join(sorted(tables)[:5])}).",
            remedy="Give alikassa a database of its own.",
        )
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if found is None:
        raise DatabaseVersionError(
            "The database holds our tables, but not which version made them.",
            remedy="Restore it from a backup: somebody changed its table alembic_version.",
        )
    return str(found)
