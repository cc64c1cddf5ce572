"""Taking a backup while others write: one state of the books, in a file of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

import sqlalchemy as sa

from alikassa import clock
from alikassa.ledger.backup.files import Output, placed
from alikassa.ledger.backup.lines import MANIFEST, query, sqlite_lines
from alikassa.ledger.backup.manifest import BackupError, Manifest, Summed
from alikassa.ledger.distribution.marker import is_spread
from alikassa.ledger.failures import translated
from alikassa.ledger.schema import metadata
from alikassa.ledger.verify import Head, format_heads

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from alikassa.ledger.backup.manifest import TableSum
    from alikassa.ledger.database import Database

__all__ = ["HEADS", "backup", "member", "sums_of"]

#: The members of an archive that are no tables.
HEADS = "heads.jsonl"
_TOGETHER = 1000
_HEADS = "SELECT id, sequence, head FROM accounts ORDER BY lane, id"


def member(table: str) -> str:
    """A table's place in an archive."""
    return f"tables/{table}.txt"


async def backup(database: Database, file: Path, *, logical: bool = False, overwrite: bool = False) -> Manifest:
    """Write the books as they are now into `file`, for its owner only; what was acknowledged before is in it.

    On SQLite it is a copy of the database. On PostgreSQL, and when `logical` is set, it is an archive that either
    engine restores. BackupError when the file cannot be written, or exists and is not to be overwritten, and when the
    books are spread over nodes.
    """
    source = database.address.sqlite_file
    if source is None and await is_spread(database):
        # Each node has a snapshot of its own: what was read would be of several moments.
        raise BackupError(
            "Books that are spread over nodes are backed up node by node.",
            remedy="Keep a base backup and the write-ahead log of every node, and give all of them one moment to be"
            " restored to: SELECT citus_create_restore_point('NAME')",
        )
    async with translated(database.address):
        with placed(file, overwrite=overwrite) as part:
            if source is None:
                return await _archive_postgresql(database, part)
            work = _archive_sqlite if logical else _copy_sqlite
            return await asyncio.to_thread(work, source, part)


# SQLite


def sums_of(connection: sqlite3.Connection) -> dict[str, TableSum]:
    """Of every table, without the manifest that a copy keeps in it."""
    return {table.name: _write_sqlite(connection, table, None) for table in metadata.sorted_tables}


def _copy_sqlite(source: Path, part: Path) -> Manifest:
    made_at = clock.now()
    with closing(sqlite3.connect(source)) as books, closing(sqlite3.connect(part, isolation_level=None)) as copy:
        # All pages in one step: a copy in several begins anew whenever somebody writes.
        books.backup(copy)
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        manifest = Manifest(made_at=made_at, tables=sums_of(copy))
        copy.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (MANIFEST, manifest.encode().decode()),
        )
    return manifest


def _archive_sqlite(source: Path, part: Path) -> Manifest:
    made_at = clock.now()
    with (
        closing(sqlite3.connect(source, isolation_level=None)) as books,
        Output(part, "w") as output,
        ZipFile(output, "w", ZIP_DEFLATED) as archive,
    ):
        books.execute("BEGIN")
        tables = {}
        for table in metadata.sorted_tables:
            with archive.open(member(table.name), "w", force_zip64=True) as opened:
                tables[table.name] = _write_sqlite(books, table, opened)
        heads = _write_heads(archive, books.execute(_HEADS))
        manifest = Manifest(made_at=made_at, tables=tables, heads=heads)
        archive.writestr(MANIFEST, manifest.encode())
    return manifest


def _write_sqlite(connection: sqlite3.Connection, table: sa.Table, opened: IO[bytes] | None) -> TableSum:
    summed = Summed()
    found = sqlite_lines(table, connection.execute(query(table, postgresql=False)))
    while lines := b"".join(islice(found, _TOGETHER)):
        summed.add(lines)
        if opened is not None:
            opened.write(lines)
    return summed.sum()


# PostgreSQL


class _Member:
    """Where the driver writes a table's lines to."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened
        self.summed = Summed()

    def write(self, lines: bytes) -> int:
        self.summed.add(lines)
        return self._opened.write(lines)


async def _archive_postgresql(database: Database, part: Path) -> Manifest:
    async with database.read() as connection:
        # The transaction's first statement: all that follow see the books as they are now.
        made_at = (await connection.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        tables = {}
        with Output(part, "w") as output, ZipFile(output, "w", ZIP_DEFLATED) as archive:
            for table in metadata.sorted_tables:
                with archive.open(member(table.name), "w", force_zip64=True) as opened:
                    written = _Member(opened)
                    await driver.copy_from_query(query(table, postgresql=True), output=written)
                    tables[table.name] = written.summed.sum()
            heads = _write_heads(archive, await driver.fetch(_HEADS))
            manifest = Manifest(made_at=made_at, tables=tables, heads=heads)
            archive.writestr(MANIFEST, manifest.encode())
        return manifest


def _write_heads(archive: ZipFile, found: Any) -> TableSum:
    """The chain heads, as `alikassa books verify --heads` takes them."""
    text = format_heads(tuple(Head(UUID(str(id_)), sequence, bytes(head)) for id_, sequence, head in found)).encode()
    archive.writestr(HEADS, text)
    summed = Summed()
    summed.add(text)
    return summed.sum()
