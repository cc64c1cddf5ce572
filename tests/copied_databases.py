"""Databases that are copied: it takes a tenth of what making one by its migrations takes."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg


def new_postgresql_database(server: str, original: str = "template1") -> str:
    """The URL of a new database: empty, or as the `original` of this name is, which must have no connections."""
    name = f"test_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
        finally:
            await connection.close()

    asyncio.run(create())
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def copy_database(original: str, copy: Path) -> str:
    """The URL of a database like the one at the URL `original`, which nobody has open; on SQLite in the file `copy`."""
    parts = urlsplit(original)
    if parts.scheme == "sqlite":
        file = original.removeprefix("sqlite:///")
        assert not Path(f"{file}-wal").exists(), f"{file} is open"
        shutil.copyfile(file, copy)
        return f"sqlite:///{copy}"
    return new_postgresql_database(parts._replace(path="/postgres").geturl(), parts.path.removeprefix("/"))
