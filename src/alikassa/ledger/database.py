"""One database, SQLite or PostgreSQL, behind one URL: opening it, its version, its errors."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import asyncpg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from alikassa.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseMissingError,
    DatabaseUnavailableError,
    DatabaseVersionError,
)
from alikassa.ledger.ids import LANES
from alikassa.ledger.schema import REVISION, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["CONNECT_SECONDS", "Address", "Database", "translate"]

#: How long a statement waits for another's lock before the database counts as not available, in seconds.
BUSY_SECONDS = 5.0
CONNECT_SECONDS = 10.0

# Two programs that meet an empty database at once: one migrates, the other waits. Any constant will do.
_MIGRATION_LOCK = 0x616C696B


@dataclass(frozen=True)
class Address:
    """A database URL, read: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://...`."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """ConfigurationError for anything else. The text is not repeated there: it may hold a password."""
        try:
            url = make_url(text)
        except ArgumentError:
            url = URL.create("none")
        if url.drivername == "postgres":
            url = url.set(drivername="postgresql")
        if url.drivername not in ("sqlite", "postgresql") or (url.drivername == "sqlite" and url.host):
            raise ConfigurationError(
                "The database URL is not understood.",
                remedy="Write sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name.",
            )
        if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
            raise ConfigurationError("The database URL names no file.", remedy="Write sqlite:///books.db.")
        return cls(url)

    @property
    def sqlite_file(self) -> Path | None:
        """The SQLite file, None on PostgreSQL."""
        return Path(self.url.database or "") if self.url.drivername == "sqlite" else None

    @property
    def dsn(self) -> str:
        """The URL for a PostgreSQL driver, password included: never print it."""
        return self.url.render_as_string(hide_password=False)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


class Database:
    """An open database whose schema is this program's. Made by `open`, ended by `close` or `async with`."""

    def __init__(self, address: Address, engine: AsyncEngine) -> None:
        self.address = address
        self._engine = engine

    @classmethod
    async def open(cls, url: str, *, create: bool = False, migrate: bool = False) -> Self:
        """Open the database at `url`.

        An empty database is given its tables when `create` is set, an older one is brought up to date when
        `migrate` is. Otherwise: DatabaseMissingError, DatabaseVersionError with the command to run.
        """
        address = Address.parse(url)
        file = address.sqlite_file
        if file is not None and not file.exists() and not (create and file.parent.is_dir()):
            raise DatabaseMissingError(
                f"There is no database at {address}.",
                remedy="Check the URL. `alikassa serve` and `alikassa merchant add` make a new one"
                " in a folder that exists.",
            )
        database = cls(address, _engine(address))
        try:
            await database._check(create=create, migrate=migrate)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        await self._engine.dispose()

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
        async with _translated(self.address), self._engine.connect() as connection:
            if self.is_postgresql:
                await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that is committed at the end, rolled back on any error.

        On SQLite it holds the one write lock from its start, so that what it reads cannot change under it.
        """
        async with _translated(self.address), self._engine.connect() as connection:
            await connection.execution_options(write=True)
            async with connection.begin():
                yield connection

    async def revision(self) -> str | None:
        """The schema's revision, None on an empty database."""
        async with self.read() as connection:
            return await connection.run_sync(_revision)

    async def _check(self, *, create: bool, migrate: bool) -> None:
        found = await self.revision()
        if found != REVISION:
            self._may_migrate(found, create=create, migrate=migrate)
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
                remedy="Upgrade alikassa: the database was made by a newer one.",
            )
        if not migrate:
            raise DatabaseVersionError(
                f"The database at {self.address} has revision {found}, and this version needs {REVISION}.",
                remedy="Back it up, then run: alikassa database migrate --database URL",
            )

    async def _migrate(self) -> None:
        from alikassa.ledger.migrate import upgrade

        if not self.is_postgresql:
            await self._use_write_ahead_log()
        async with self.write() as connection:
            if self.is_postgresql:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.run_sync(upgrade)

    async def _use_write_ahead_log(self) -> None:
        """Kept in the file: readers never wait for the writer, whatever program opens it."""
        until = time.monotonic() + BUSY_SECONDS
        async with _translated(self.address), self._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None  # noqa: S101 - a live connection has its driver's
            while True:
                try:
                    await driver.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError:
                    # For this statement SQLite does not wait for another's lock as it does for all others.
                    if time.monotonic() > until:
                        raise
                    await asyncio.sleep(0.02)


def _engine(address: Address) -> AsyncEngine:
    if address.sqlite_file is None:
        return create_async_engine(
            address.url.set(drivername="postgresql+asyncpg"),
            connect_args={"timeout": CONNECT_SECONDS},
            pool_pre_ping=True,
        )
    engine = create_async_engine(
        address.url.set(drivername="sqlite+aiosqlite"),
        connect_args={"timeout": BUSY_SECONDS},
        poolclass=NullPool,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        # We begin transactions ourselves: the driver's own habit begins them too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@asynccontextmanager
async def _translated(address: Address) -> AsyncIterator[None]:
    """Turns the drivers' errors into ours."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise translate(address, error) from error


def translate(address: Address, error: Exception) -> DatabaseError:
    """Our error for a driver's. Its text names the database and a remedy; the driver's stays in the chain."""
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # SQLAlchemy's asyncpg dialect wraps the driver's own error once more.
    cause = cause.__cause__ or cause
    text = str(cause).partition("\n")[0]
    if isinstance(cause, TimeoutError):
        return DatabaseUnavailableError(f"The database at {address} does not answer in time.")
    if isinstance(cause, asyncpg.InvalidCatalogNameError):
        return DatabaseMissingError(f"There is no database at {address}.", remedy="Make it with: createdb NAME")
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
        return DatabaseError(
            f"The database at {address} does not let us in: {text}.", remedy="Check user and password."
        )
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return DatabaseError(
            f"The database at {address} does not permit this: {text}.",
            remedy="Use the role that owns the tables, or run: alikassa database grant ROLE --database URL",
        )
    if "locked" in text:
        return DatabaseUnavailableError(
            f"The database at {address} is locked by another program.", remedy="Try again when that one is done."
        )
    if isinstance(cause, sqlite3.DatabaseError) and ("not a database" in text or "malformed" in text):
        return DatabaseMissingError(f"The file at {address} is not a SQLite database.", remedy="Check the URL.")
    if isinstance(cause, sqlite3.OperationalError) and "unable to open" in text:
        return DatabaseMissingError(f"The database at {address} cannot be opened.", remedy="Check its permissions.")
    if isinstance(
        cause, OSError | asyncpg.PostgresConnectionError | asyncpg.InterfaceError | asyncpg.CannotConnectNowError
    ):
        return DatabaseUnavailableError(
            f"The database at {address} cannot be reached: {text or type(cause).__name__}.",
            remedy="See that it runs and that host and port are right.",
        )
    return DatabaseError(f"The database at {address} failed: {text}.")


_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
)


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
    return None if found is None else str(found)
