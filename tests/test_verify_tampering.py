"""Whoever changes a bit of the books behind their back, guards or not, is found out, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import accounts, journal_entries, lots, metadata, payouts, policies, postings
from alikassa.ledger.verify import Heads, Verified, read_heads, verify
from books_story import FIRST, tell_story
from conftest import _new_postgresql_database

#: Nothing follows from when an account was opened; `next_due_at` may be too early, and has tests of its own.
UNTOLD = {"accounts.opened_at", "accounts.next_due_at"}
COLUMNS = [
    column
    for table in (journal_entries, postings, lots, payouts, policies, accounts)
    for column in table.columns
    if str(column) not in UNTOLD
]
ROWS_A_COLUMN = 3
Row = dict[str, Any]


class Intruder:
    """Somebody with the database's password, past every guard: reads and writes values as they are stored."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._run = runner.run
        self._sqlite: sqlite3.Connection | None = None
        if url.startswith("sqlite"):
            self._sqlite = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            self._sqlite.execute("PRAGMA ignore_check_constraints = ON")
            for (name,) in self._sqlite.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                self._sqlite.execute(f"DROP TRIGGER {name}")
        else:
            self._postgresql = self._run(asyncpg.connect(url))
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
        return "CAST(? AS TEXT)" if isinstance(value, _Text) else "?"

    def add(self, table: sa.Table, rows: Sequence[Row]) -> None:
        for row in rows:
            marks = ", ".join("?" * len(row))
            self.execute(f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks})", *row.values())

    def remove(self, table: sa.Table, rows: Sequence[Row]) -> None:
        for row in rows:
            keys = [key.name for key in table.primary_key]
            same = " AND ".join(f"{name} = ?" for name in keys)
            self.execute(f"DELETE FROM {table.name} WHERE {same}", *(row[name] for name in keys))


class _Text(bytes):
    """For a column of text on SQLite: perhaps no UTF-8."""


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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """One database an engine: each test puts back what it changed, and the last look at it sees that it did."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('story') / 'books.db'}"
    else:
        url = _new_postgresql_database(request.getfixturevalue("postgresql_server"))
    with asyncio.Runner() as runner:
        told = Told(url, runner)
        try:
            assert told.verify(told.heads).problems == ()
            yield told
            assert told.verify(told.heads).problems == ()
        finally:
            told.close()


def with_one_bit_changed(value: Any, bit: int, told: Told, chance: random.Random) -> Any:
    """On SQLite any bit of what is stored; on PostgreSQL, and of numbers, the least that its type can be changed by."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ 1 << bit
        case str() if told.on_sqlite:
            return _Text(_flipped(value.encode(), chance))
        case str():
            place = chance.randrange(len(value)) if value else 0
            return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :] if value else "x"
        case bytes():
            return _flipped(value, chance)
        case Decimal():
            return value + Decimal("0.00000001")
        case datetime():
            return value + timedelta(microseconds=1)
    # PostgreSQL's driver has uuids of its own.
    return uuid.UUID(int=value.int ^ 1)


def _flipped(value: bytes, chance: random.Random) -> bytes:
    if not value:
        return b"x"
    place = chance.randrange(len(value))
    return value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]


def some_rows(told: Told, column: sa.Column[Any], chance: random.Random) -> list[Row]:
    """Some of the first account's that have a value there."""
    rows = [row for row in told.intruder.rows(column.table) if row[column.name] is not None]
    return chance.sample(rows, min(ROWS_A_COLUMN, len(rows)))


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_one_bit_of_any_column_is_found(told: Told, column: sa.Column[Any]) -> None:
    """A row with one bit changed gives its account away, whichever column and row it is in."""
    chance = random.Random(str(column))  # noqa: S311 - chosen once, the same every time
    rows = some_rows(told, column, chance)
    assert rows
    for row in rows:
        for bit in range(15):
            other = with_one_bit_changed(row[column.name], bit, told, chance)
            # A key may be another row's by now: the index refuses that much.
            with suppress(sqlite3.IntegrityError, asyncpg.UniqueViolationError), told.changed(column, row, other):
                assert FIRST in told.accused(), (row, other)
                break
        else:
            pytest.fail("No bit of it could be changed.")


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.nullable], ids=str)
def test_a_value_that_was_taken_away_is_found(told: Told, column: sa.Column[Any]) -> None:
    """Where there was a value and now is none."""
    (row,) = some_rows(told, column, random.Random(str(column)))[:1]  # noqa: S311 - as above
    with told.changed(column, row, None):
        assert FIRST in told.accused(), row


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.nullable], ids=str)
def test_a_value_that_was_added_is_found(told: Told, column: sa.Column[Any]) -> None:
    """Where there was none and now is another row's."""
    (other,) = some_rows(told, column, random.Random(str(column)))[:1]  # noqa: S311 - as above
    rows = [row for row in told.intruder.rows(column.table) if row[column.name] is None]
    if not rows:
        assert column.table is accounts
        return
    with told.changed(column, rows[-1], other[column.name]):
        assert FIRST in told.accused(), rows[-1]
