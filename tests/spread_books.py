"""Books on a PostgreSQL of the tests', and what that server was asked: for the tests of books that are spread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import asyncpg


async def ask(url: str, *statements: str) -> list[Any]:
    """The rows of the last one, over a connection of the driver's own."""
    connection = await asyncpg.connect(url)
    try:
        found: list[Any] = []
        for statement in statements:
            found = await connection.fetch(statement)
        return found
    finally:
        await connection.close()


async def log_of(url: str) -> Path:
    """Where the server writes; from now on it writes down every statement of the database at `url`."""
    (row,) = await ask(
        url,
        f"ALTER DATABASE {_name(url)} SET log_statement = 'all'",
        "SELECT current_setting('data_directory') AS folder",
    )
    return Path(row["folder"]) / "log"


def _name(url: str) -> str:
    found = re.search(r"/(test_\w+)\?", url)
    assert found is not None
    return found[1]


def statements_in(log: str) -> list[str]:
    """What was executed, each on one line."""
    found = re.findall(r"LOG:  (?:execute [^:]*|statement): (.*(?:\n\t.*)*)", log)
    return [" ".join(statement.split()) for statement in found]
