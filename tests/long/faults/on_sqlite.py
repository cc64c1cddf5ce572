"""The faults of a SQLite file: each is a context that begins and ends one."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from long.faults.made import Place, full, kill, small_disk, workers_of
from operator_server import Served

__all__ = ["sqlite"]


def _can_write(own: sqlite3.Connection) -> bool:
    """False while anybody else is inside a transaction that writes."""
    try:
        own.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    own.execute("ROLLBACK")
    return True


@contextmanager
def sqlite(folder: Path) -> Iterator[Place]:
    with small_disk(folder / "disk") as disk:
        file = disk / "books.db"

        @contextmanager
        def slow(_: Served) -> Iterator[None]:
            """Another program holds the write lock, longer than anybody waits for it."""
            other = sqlite3.connect(file, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.rollback()
                other.close()

        @contextmanager
        def away(_: Served) -> Iterator[None]:
            file.rename(folder / "disk" / "away.db")
            try:
                yield
            finally:
                (folder / "disk" / "away.db").rename(file)

        @contextmanager
        def read_only(served: Served) -> Iterator[None]:
            """The files cannot be written by who opens them: whoever had them open is killed, and opens them anew."""
            parts = sorted(disk.glob("books.db*"))
            done = subprocess.run(["chattr", "+i", *parts], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no file can be made immutable here: {done.stderr.strip()}")
            try:
                kill(workers_of(served))
                yield
            finally:
                subprocess.run(["chattr", "-i", *parts], check=True)

        @contextmanager
        def killed(served: Served) -> Iterator[None]:
            """The processes that read and book are killed in the midst of a transaction; they are started anew."""
            doomed = workers_of(served)
            with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as own:
                while _can_write(own):
                    time.sleep(0.001)
                kill(doomed)
            yield

        @contextmanager
        def switched(_: Served) -> Iterator[None]:
            """A copy is put in its place while nobody may write."""
            other = sqlite3.connect(file)
            other.execute("BEGIN IMMEDIATE")
            source, copy = sqlite3.connect(file), sqlite3.connect(disk / "copy.db")
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = WAL")
            source.close()
            copy.close()
            for end in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    (disk / f"books.db{end}").rename(disk / f"old.db{end}")
            file.rename(disk / "old.db")
            (disk / "copy.db").rename(file)
            other.rollback()
            yield

        faults = {"slow": slow, "away": away, "read_only": read_only, "killed": killed, "switched": switched}
        faults["full"] = lambda _: full(disk)
        url = f"sqlite:///{file}"
        yield Place(url, faults, url, f"SQLite {sqlite3.sqlite_version}")
