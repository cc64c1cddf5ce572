"""SQLite's driver, with one turn of its thread for a statement where aiosqlite takes four.

A SQLite connection works in a thread of its own, so that the loop waits for no disk. Each turn costs two wake-ups and,
while the loop is busy, a wait for the interpreter: for a batch's fifteen small statements that is more than SQLite's
own work.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiosqlite

from alikassa.ledger.sqlite_file import open_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from alikassa.ledger.sqlite_file import FileConnection, Opened

__all__ = ["DriverConnection", "connect"]

#: Rows that come with the statement's own turn. What is left, of a question that streams, comes in turns of its own.
_AT_ONCE = 500
# How long to wait for connections that were opened while the file was read-only to be closed.
_PATIENCE_SECONDS = 1.0


def connect(file: Path, busy_seconds: float) -> DriverConnection:
    """A connection once it is awaited. A file that is gone does not come back empty: whoever may make one has made it
    by now."""
    loop = asyncio.get_running_loop()

    def let_go() -> None:
        # When the loop has ended, whoever ended it closes the connection.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(made.let_go)

    def open_here() -> FileConnection:
        connection = open_file(file, let_go, _PATIENCE_SECONDS, timeout=busy_seconds)
        made.opened = connection.opened
        return connection

    made = DriverConnection(open_here, _AT_ONCE)
    # Whatever becomes of the connection, its thread must not keep the program from ending. As SQLAlchemy does it.
    made._thread.daemon = True
    return made


class DriverConnection(aiosqlite.Connection):
    """aiosqlite's, with cursors that do what SQLAlchemy asks of one in a single turn."""

    opened: Opened
    #: Nobody uses it now: it may be closed. Said by whoever holds it, in the loop's thread.
    is_idle = False
    #: When its statement is given up, by the monotonic clock.
    until = float("inf")

    def cursor(self) -> DriverCursor:  # type: ignore[override] # SQLAlchemy takes either
        return DriverCursor(self)

    def stop(self) -> asyncio.Future[Any] | None:
        # Whoever is cancelled twice closes twice, and would wait for a thread that has ended.
        return super().stop() if self._running else None

    def let_go(self) -> None:
        """Close it if it is idle; whoever would use it next asks first."""
        if self.is_idle:
            self.stop()

    async def close(self) -> None:
        # One that was let go of is closed in its own thread.
        if self._running:
            await super().close()

    async def do(self, work: Any, *given: Any) -> Any:
        """Run `work` in the connection's thread."""
        return await self._execute(work, *given)  # type: ignore[no-untyped-call]

    @property
    def raw(self) -> sqlite3.Connection:
        """For use in the connection's thread."""
        return self._conn


class DriverCursor:
    """One statement and its rows: what SQLAlchemy's adapter needs of a cursor."""

    arraysize = _AT_ONCE

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        # Its rows, as far as they have come; None once it has no more, or never had any.
        self._cursor: sqlite3.Cursor | None = None
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> DriverCursor:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> DriverCursor:
        await self._connection.do(self._execute, statement, parameters)
        return self

    def _execute(self, statement: str, parameters: Sequence[Any]) -> None:
        cursor = self._connection.raw.execute(statement, parameters)
        self._rows = cursor.fetchmany(_AT_ONCE)
        if len(self._rows) == _AT_ONCE:
            self._note(cursor)
            self._cursor = cursor
        else:
            self._end(cursor)

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> DriverCursor:
        await self._connection.do(self._executemany, statement, parameters)
        return self

    def _executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._end(self._connection.raw.executemany(statement, parameters))

    def _end(self, cursor: sqlite3.Cursor) -> None:
        # Not before its last row: only then is it known how many it changed.
        self._note(cursor)
        cursor.close()

    def _note(self, cursor: sqlite3.Cursor) -> None:
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            rows += await self._connection.do(self._fetch_rest, cursor)
        return rows

    def _fetch_rest(self, cursor: sqlite3.Cursor) -> list[Any]:
        rows = cursor.fetchall()
        self._end(cursor)
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        size = size or self.arraysize
        if len(self._rows) < size and self._cursor is not None:
            self._rows += await self._connection.do(self._cursor.fetchmany, size - len(self._rows))
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany():
            for row in rows:
                yield row

    async def close(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await self._connection.do(cursor.close)
