"""Whoever changes a bit of the books behind their back, guards or not, is found out, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.ledger.schema import accounts, journal_entries, lots, payouts, policies, postings
from books_intruder import Row, StoredText, Told, told_story
from books_story import FIRST

#: Nothing follows from when an account was opened, nor from a setting; `next_due_at` may be too early, and has tests of
#: its own.
UNTOLD = {"accounts.opened_at", "accounts.next_due_at", "accounts.requires_fresh"}
COLUMNS = [
    column
    for table in (journal_entries, postings, lots, payouts, policies, accounts)
    for column in table.columns
    if str(column) not in UNTOLD
]
ROWS_A_COLUMN = 2


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with told_story(request.param, request, tmp_path_factory) as told:
        yield told


def with_one_bit_changed(value: Any, bit: int, told: Told, chance: random.Random) -> Any:
    """On SQLite any bit of what is stored; on PostgreSQL, and of numbers, the least that its type can be changed by."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ 1 << bit
        case str() if told.on_sqlite:
            return StoredText(_flipped(value.encode(), chance))
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


@pytest.mark.parametrize("column", [accounts.c.currency, payouts.c.reference, journal_entries.c.reason], ids=str)
def test_text_that_is_none_is_found(told: Told, column: sa.Column[Any]) -> None:
    """SQLite keeps any bytes as text: they name what is wrong, and end no verification."""
    if not told.on_sqlite:
        # There text is text.
        return
    rows = told.intruder.rows(column.table)
    # Among the payouts is one that a correction is about.
    for row in rows if column.table is payouts else rows[:2]:
        with told.changed(column, row, StoredText(b"moved-\xad")):
            found = told.verify()
        assert (FIRST, f"A row of {column.table} cannot be read: {column.name}.") in {
            (one.account, one.what) for one in found.problems
        }
