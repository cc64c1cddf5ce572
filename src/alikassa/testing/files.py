"""The sandbox's folder: archives that are made once and used again after a reset, and a database file.

A file, not memory: the writer, the reader and the registry each have a connection of their own, as in the server, and
SQLite in memory is one connection's alone.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from alikassa.ledger.database import Database
from alikassa.protocol import archive
from alikassa.protocol.certificates import PublicKey, load_public_key

__all__ = ["Archive", "Files"]

# An empty database, made once by the migrations in this process: they take longer than all the rest of a start.
_empty: list[bytes] = []
_making = threading.Lock()


class Archive(NamedTuple):
    """A folder with a merchant's three files, and the public half of its key."""

    folder: Path
    key: PublicKey


class Files:
    """A temporary folder, and what lies in it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="alikassa-sandbox-")
        self.path = Path(self._folder.name)
        self._archives: list[Archive] = []
        self._used = 0
        self._databases = 0

    def archive(self) -> Archive:
        """An archive that no merchant has."""
        if self._used == len(self._archives):
            folder = self.path / f"keys-{self._used + 1}"
            made = archive.generate()
            archive.write(folder, made)
            self._archives.append(Archive(folder, load_public_key(made.public_pem)))
        self._used += 1
        return self._archives[self._used - 1]

    async def database(self) -> Database:
        """An empty database, in a file of its own."""
        self._databases += 1
        file = self.path / f"books-{self._databases}.db"
        if not _empty:
            content = await asyncio.to_thread(_make_empty, self.path / "empty.db")
            _empty.append(content)
        file.touch(0o600)
        file.write_bytes(_empty[0])
        return await Database.open(f"sqlite:///{file}")

    def forget(self) -> None:
        """Old books go, and all archives are free again."""
        self._used = 0
        for file in self.path.glob("books-*"):
            file.unlink()

    def remove(self) -> None:
        self._folder.cleanup()


def _make_empty(file: Path) -> bytes:
    async def make() -> None:
        async with await Database.open(f"sqlite:///{file}", create=True):
            pass

    with _making:
        if _empty:
            return _empty[0]
        asyncio.run(make())
        # The last connection that closes carries the log over into the file.
        content = file.read_bytes()
        file.unlink()
        return content
