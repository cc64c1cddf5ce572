"""SQLAlchemy's engines for a database: one for questions and small changes, one for the writers."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from alikassa.ledger.address import backend_bound
from alikassa.ledger.sqlite_driver import connect
from alikassa.ledger.sqlite_file import note_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import sqlalchemy as sa

    from alikassa.ledger.address import Address

__all__ = ["BUSY_SECONDS", "MOST_CONNECTIONS", "WRITER_SECONDS", "question_engine", "writer_engine"]

#: How long a statement waits for another's lock before the database counts as not available, in seconds.
BUSY_SECONDS = 5.0

#: Connections of one program that are open at once for questions and small changes. Others wait, as long as for a lock.
MOST_CONNECTIONS = 15
# So many of them stay open: making one costs more than a question.
_KEPT_CONNECTIONS = 5

#: How long one statement of the writer's may take. A server that vanished says nothing, and the system would wait for
#: it for a quarter of an hour; whoever waits to be booked is told then, and a standby can be asked.
WRITER_SECONDS = 30.0

# SQLite looks whether its time is over after so many of its steps: a millisecond or so.
_STEPS = 20_000

_PRAGMAS = (
    "foreign_keys = ON",
    "recursive_triggers = ON",
    "synchronous = FULL",
    # Pages that wait in the log, 32 MiB, before they are carried over: a large batch would else do so at each commit.
    "wal_autocheckpoint = 8000",
)
_WRITER_PRAGMAS = (
    # Memory for pages, taken as needed. A batch on many accounts touches many, and the next one the same upper ones.
    "cache_size = -65536",
    # A statement that a trigger may end keeps what it changes: not in a file of its own, a few times a batch. What
    # questions sort goes into files: it may be more than there is memory.
    "temp_store = MEMORY",
)
_QUESTION_PRAGMAS = ("cache_size = -8192",)

# Every statement of the writer's finds rows by their keys. A plan made while the tables were small would be kept, and
# read them whole when they are large.
_BY_KEYS = {
    "application_name": "alikassa books",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
}


def writer_engine(address: Address) -> AsyncEngine:
    """Its connections are kept by whoever writes."""
    if address.sqlite_file is not None:
        return _sqlite_engine(address, address.sqlite_file, _WRITER_PRAGMAS, WRITER_SECONDS, poolclass=NullPool)
    settings = _BY_KEYS | backend_bound(WRITER_SECONDS)
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(address.connect, server_settings=settings, command_timeout=WRITER_SECONDS),
        poolclass=NullPool,
        hide_parameters=True,
    )


def question_engine(address: Address, seconds: float | None) -> AsyncEngine:
    """With `seconds`, the most that one statement of a question may take."""
    # How many may be open is the database's to say: whoever waits for one is told in time.
    pool = {"pool_size": _KEPT_CONNECTIONS, "max_overflow": -1}
    if address.sqlite_file is not None:
        return _sqlite_engine(address, address.sqlite_file, _QUESTION_PRAGMAS, seconds, **pool)
    settings: dict[str, Any] = {}
    if seconds is not None:
        settings = {
            "command_timeout": seconds,
            "server_settings": {"statement_timeout": str(int(seconds * 1000))},
        }
    # The driver reads the URL itself, here and in the reader, so that one URL means the same to both.
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(address.connect, **settings),
        pool_pre_ping=True,
        hide_parameters=True,
        **pool,
    )


def _sqlite_engine(
    address: Address, file: Path, pragmas: Iterable[str], seconds: float | None, **pool: Any
) -> AsyncEngine:
    engine = create_async_engine(
        address.url.set(drivername="sqlite+aiosqlite"),
        async_creator=partial(connect, file, BUSY_SECONDS),
        hide_parameters=True,
        **pool,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

    _close_in_time(engine, file)
    if seconds is not None:
        _give_up_after(engine, seconds)
    return engine


def _close_in_time(engine: AsyncEngine, file: Path) -> None:
    """What is open to another file than that of now, or as it was while it was read-only: see `sqlite_file`."""

    @event.listens_for(engine.sync_engine, "checkout")
    def check_file(connection: Any, _record: Any, _proxy: Any) -> None:
        driver = connection.driver_connection
        driver.is_idle = False
        if not driver.opened.holds():
            raise DisconnectionError("What was opened is no longer the file that is there.")

    @event.listens_for(engine.sync_engine, "checkin")
    def let_go(connection: Any, record: Any) -> None:
        if connection is None:
            return
        driver = connection.driver_connection
        if driver.opened.may_stay():
            driver.is_idle = True
        else:
            record.invalidate()

    @event.listens_for(engine.sync_engine, "handle_error")
    def note(context: Any) -> None:
        note_error(file, context.original_exception)


def _give_up_after(engine: AsyncEngine, seconds: float) -> None:
    """On SQLite, where nobody else does."""

    @event.listens_for(engine.sync_engine, "connect")
    def look(connection: Any, _record: Any) -> None:
        # Called in the driver's thread, wherever that is in its work.
        connection.run_async(
            lambda driver: driver.set_progress_handler(lambda: time.monotonic() > driver.until, _STEPS)
        )

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def allow(connection: sa.Connection, *_: object) -> None:
        allowed = max(seconds, WRITER_SECONDS) if _writes(connection) else seconds
        dbapi: Any = connection.connection.dbapi_connection
        dbapi.driver_connection.until = time.monotonic() + allowed


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("write", False))
