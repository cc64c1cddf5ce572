"""Somebody who changes the books behind our back."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import accounts, discrepancies, journal_entries, lots, metadata, payouts, policies, postings
from alikassa.ledger.verify import Heads, Verified, read_heads, verify
from books_story import FIRST, tell_story

__all__ = ["BOOKS", "Intruder", "Row", "StoredText", "Told", "told_story"]

BOOKS = (accounts, journal_entries, postings, lots, payouts, policies, discrepancies)
Row = dict[str, Any]


class StoredText(bytes):
    """For a column of text on SQLite: perhaps no UTF-8."""


class Intruder:
    """Somebody with the database's password, past every guard: reads and writes values as they are stored."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._run = runner.run
        self._sqlite: sqlite3.Connection | None = None
        if url.startswith("sqlite"):
            self._sqlite = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            for pragma in ("ignore_check_constraints = ON", "synchronous = OFF"):
                self._sqlite.execute(f"PRAGMA {pragma}")
            for (name,) in self._sqlite.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                self._sqlite.execute(f"DROP TRIGGER {name}")
        else:
            self._postgresql = self._run(asyncpg.connect(url, server_settings={"synchronous_commit": "off"}))
            for table in metadata.tables:
                self.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            for row in self.execute(
                "SELECT conrelid::regclass::text AS t, conname FROM pg_constraint"
                " WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace"
            ):
                self.execute(f"ALTER TABLE {row['t']} DROP CONSTRAINT {row['conname']}")

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
        else:
            self._run(self._postgresql.close())

    def execute(self, statement: str, *values: Any) -> list[Row]:
        """Values are marked `?`."""
        if self._sqlite is not None:
            cursor = self._sqlite.execute(statement, values)
            names = [one[0] for one in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for number in range(1, len(values) + 1):
            statement = statement.replace("?", f"${number}", 1)
        return [dict(row) for row in self._run(self._postgresql.fetch(statement, *values))]

    def rows(self, table: sa.Table, account: uuid.UUID = FIRST) -> list[Row]:
        """An account's, in the order of their key."""
        order = ", ".join(key.name for key in table.primary_key)
        own = table.primary_key.columns.values()[1].name
        return self.execute(f"SELECT * FROM {table.name} WHERE {own} = ? ORDER BY {order}", self.id(account))

    def id(self, account: uuid.UUID) -> Any:
        return account if self._sqlite is None else str(account)

    def put(self, table: sa.Table, row: Row, changes: Row) -> Row:
        """The row as it is then."""
        keys = [key.name for key in table.primary_key]
        changed = ", ".join(f"{name} = {self._mark(value)}" for name, value in changes.items())
        # Text that is none has to be told apart by its bytes.
        same = " AND ".join(f"{name} = {self._mark(row[name])}" for name in keys)
        self.execute(
            f"UPDATE {table.name} SET {changed} WHERE {same}", *changes.values(), *(row[name] for name in keys)
        )
        return row | changes

    def _mark(self, value: Any) -> str:
        return "CAST(? AS TEXT)" if isinstance(value, StoredText) else "?"

    def insert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        if not rows:
            return
        names = list(rows[0])
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        values = [[row[name] for name in names] for row in rows]
        if self._sqlite is not None:
            self._sqlite.executemany(statement, values)
            return
        for number in range(1, len(names) + 1):
            statement = statement.replace("?", f"${number}", 1)
        self._run(self._postgresql.executemany(statement, values))

    def delete(self, table: sa.Table, row: Row) -> None:
        keys = [key.name for key in table.primary_key]
        self.execute(
            f"DELETE FROM {table.name} WHERE {' AND '.join(f'{name} = ?' for name in keys)}",
            *(row[name] for name in keys),
        )

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Whatever is done to the books inside is undone at the end."""
        kept = {table: self.execute(f"SELECT * FROM {table.name}") for table in BOOKS}
        try:
            yield
        finally:
            self.execute("BEGIN")
            for table, rows in kept.items():
                self.execute(f"DELETE FROM {table.name}")
                self.insert(table, rows)
            self.execute("COMMIT")


class Told:
    """The story's database, open to us and to the intruder."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.on_sqlite = url.startswith("sqlite")
        self._runner = runner
        self.database: Database = runner.run(Database.open(url, create=True))
        runner.run(tell_story(self.database))
        self.heads: Heads = runner.run(read_heads(self.database))
        self.intruder = Intruder(url, runner)

    def verify(self, heads: Heads | None = None) -> Verified:
        return self._runner.run(verify(self.database, heads=heads))

    def accused(self, heads: Heads | None = None) -> set[uuid.UUID | None]:
        """The accounts that something is found wrong with."""
        return {problem.account for problem in self.verify(heads).problems}

    @contextmanager
    def changed(self, column: sa.Column[Any], row: Row, value: Any) -> Iterator[None]:
        """One value of a row, meanwhile."""
        changed = self.intruder.put(column.table, row, {column.name: value})
        try:
            yield
        finally:
            self.intruder.put(column.table, changed, {column.name: row[column.name]})

    def close(self) -> None:
        self.intruder.close()
        self._runner.run(self.database.close())


@contextmanager
def told_story(engine: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A database of its own, on `sqlite` or `postgresql`. Who changes it puts it back, and the last look sees that."""
    url = request.getfixturevalue("copy_migrated")(engine, factory.mktemp("story") / "books.db")
    with asyncio.Runner() as runner:
        told = Told(url, runner)
        try:
            assert told.verify(told.heads).problems == ()
            yield told
            assert told.verify(told.heads).problems == ()
        finally:
            told.close()
