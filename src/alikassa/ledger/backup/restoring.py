"""Restoring a backup into a database that is empty: all of it, checked, or nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import zlib
from contextlib import closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import msgspec
import sqlalchemy as sa

from alikassa.errors import AlikassaError
from alikassa.ledger.address import Address
from alikassa.ledger.backup.files import BESIDE, placed
from alikassa.ledger.backup.lines import MANIFEST, sqlite_rows
from alikassa.ledger.backup.manifest import BackupError, Manifest, Summed, read_manifest
from alikassa.ledger.backup.taking import HEADS, member, sums_of
from alikassa.ledger.database import Database
from alikassa.ledger.schema import metadata
from alikassa.ledger.verify import Heads, Verified, parse_heads, verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from alikassa.ledger.backup.manifest import TableSum

__all__ = ["Restored", "restore"]

_CHUNK = 1 << 18
_ROWS = 5000


class Restored(msgspec.Struct, frozen=True):
    """What the backup says of itself, and what a verification found after it was restored."""

    manifest: Manifest
    verified: Verified


async def restore(file: Path, url: str) -> Restored:
    """Restore the backup into the database at `url`: a SQLite file that is not there, or an empty PostgreSQL database.

    BackupError, and the database is as it was, when the backup is damaged, of another revision or of the other
    engine's own form, or the database is not empty. Books that were not true when they were backed up are restored as
    they were, for whoever looks into them: see `verified`.
    """
    target = Address.parse(url).sqlite_file
    manifest: Manifest
    heads: Heads | None
    with _damage_told(file):
        is_copy = _is_copy(file)
        if target is None and is_copy:
            raise BackupError(
                f"{file} is a copy of a SQLite database, which PostgreSQL does not read.",
                remedy="Take one with: alikassa books backup FILE --logical",
            )
        if target is None:
            manifest, heads = await _into_postgresql(file, url)
        else:
            _see_nothing_beside(target)
            with placed(target) as part:
                manifest, heads = await (_copy_back(file, part) if is_copy else _into_sqlite(file, part))
    async with await Database.open(url) as database:
        return Restored(manifest, await verify(database, heads=heads))


def _is_copy(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.", remedy="Check the path.") from error


def _see_nothing_beside(target: Path) -> None:
    """SQLite would take another database's log for the restored one's."""
    for suffix in BESIDE:
        beside = target.with_name(target.name + suffix)
        if beside.exists() and not target.exists():
            raise BackupError(
                f"{beside} is there, and no {target.name}.", remedy="Move it away, or choose another name."
            )


@contextmanager
def _damage_told(file: Path) -> Iterator[None]:
    """What a damaged file makes of the libraries that read it."""
    try:
        yield
    except AlikassaError:
        raise
    except (
        *(BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError),
        *(sqlite3.Error, MemoryError),
    ) as error:
        raise BackupError(
            f"{file} is damaged, or no backup of books: {error}.", remedy="Nothing was restored. Take another copy."
        ) from error


def _compare(told: Mapping[str, TableSum], found: Mapping[str, TableSum]) -> None:
    for name, one in told.items():
        if found[name] != one:
            raise BackupError(
                f"The backup is damaged: {name} is not what was written.",
                remedy="Nothing was restored. Take another copy.",
            )


# A copy of a SQLite database


async def _copy_back(file: Path, part: Path) -> tuple[Manifest, None]:
    return await asyncio.to_thread(_copy, file, part), None


def _copy(file: Path, part: Path) -> Manifest:
    shutil.copyfile(file, part)
    with closing(sqlite3.connect(part, isolation_level=None)) as books:
        ((found,),) = books.execute("PRAGMA integrity_check(1)").fetchall()
        kept = books.execute("SELECT value FROM settings WHERE name = ?", (MANIFEST,)).fetchone()
        if found != "ok" or kept is None:
            raise BackupError(
                f"{file} is no whole backup: {'it has no manifest' if found == 'ok' else found}.",
                remedy="Take one with: alikassa books backup FILE",
            )
        manifest = read_manifest(kept[0])
        _compare(manifest.tables, sums_of(books))
        books.execute("DELETE FROM settings WHERE name = ?", (MANIFEST,))
    return manifest


# An archive


def _open(archive: ZipFile) -> tuple[Manifest, Heads]:
    """What the archive says of itself, once all of it was read and found as it was written."""
    manifest = read_manifest(archive.read(MANIFEST))
    if manifest.heads is None:
        raise BackupError("The backup has no chain heads: it is damaged.")
    told = {**{member(name): one for name, one in manifest.tables.items()}, HEADS: manifest.heads}
    found = {}
    for name in told:
        summed = Summed()
        with archive.open(name) as opened:
            while chunk := opened.read(_CHUNK):
                summed.add(chunk)
        found[name] = summed.sum()
    _compare(told, found)
    return manifest, parse_heads(archive.read(HEADS).decode())


async def _into_sqlite(file: Path, part: Path) -> tuple[Manifest, Heads]:
    with ZipFile(file) as archive:
        manifest, heads = await asyncio.to_thread(_open, archive)
        async with await Database.open(f"sqlite:///{part}", create=True):
            pass
        await asyncio.to_thread(_fill_sqlite, archive, manifest, part)
    return manifest, heads


def _fill_sqlite(archive: ZipFile, manifest: Manifest, part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as books:
        books.execute("PRAGMA journal_mode = DELETE")
        books.execute("PRAGMA foreign_keys = ON")
        books.execute("BEGIN IMMEDIATE")
        books.execute("DELETE FROM settings")
        for table in metadata.sorted_tables:
            marks = ", ".join("?" * len(table.columns))
            names = ", ".join(column.name for column in table.columns)
            with archive.open(member(table.name)) as opened:
                rows = sqlite_rows(table, opened)
                while some := list(islice(rows, _ROWS)):
                    books.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", some)  # noqa: S608
            ((count,),) = books.execute(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - names from the schema
            _check_count(table.name, manifest, count)
        books.execute("COMMIT")


def _check_count(table: str, manifest: Manifest, found: int) -> None:
    told = manifest.tables[table].rows
    if told != found:
        raise BackupError(f"{table} was written with {told} rows, and {found} were restored: nothing is kept of it.")


async def _into_postgresql(file: Path, url: str) -> tuple[Manifest, Heads]:
    from alikassa.ledger.migrate import upgrade

    with ZipFile(file) as archive:
        manifest, heads = await asyncio.to_thread(_open, archive)
        database = Database.attach(url)
        try:
            async with database.write() as connection:
                if await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()):
                    raise BackupError(
                        f"The database at {database.address} is not empty.",
                        remedy="Make a new one (createdb NAME), and restore into that.",
                    )
                await connection.run_sync(upgrade)
                await connection.execute(sa.text("DELETE FROM settings"))
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await _fill_postgresql(archive, manifest, driver)
        finally:
            await database.close()
    return manifest, heads


async def _fill_postgresql(archive: ZipFile, manifest: Manifest, driver: Any) -> None:
    for table in metadata.sorted_tables:
        with archive.open(member(table.name)) as opened:
            names = [column.name for column in table.columns]
            await driver.copy_to_table(table.name, source=_chunks(opened), columns=names)
        count = await driver.fetchval(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - names from the schema
        _check_count(table.name, manifest, count)


async def _chunks(opened: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(opened.read, _CHUNK):
        yield chunk
