"""Books on a PostgreSQL of the tests', and what that server was asked: for the tests of books that are spread."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from alikassa.ledger.schema import GROWING

_NAMES = "|".join(table.name for table in GROWING)
_TABLE = re.compile(rf'(?:\b(?:FROM|JOIN|UPDATE|INTO)|,) (?:ONLY )?(?:public\.)?"?(?:{_NAMES})"?(?![\w.])')


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


def not_of_one_lane(log: str, least: int) -> list[str]:
    """Of what was asked of the growing tables, that which does not name a lane by equality for each of them.

    In sub-queries too: where one only takes over the lane of a row around it, an engine cannot choose a node by it.
    What COPY was given stands in no log: see `written_since`. There are at least so many statements.
    """
    asked = [(one, len(found)) for one in statements_in(log) if (found := _TABLE.findall(one))]
    assert len(asked) >= least
    return [
        one
        for one, tables in asked
        if len(re.findall(r"\blane = \$\d+", one)) < tables and not _are_rows_of_one_lane(one)
    ]


def _are_rows_of_one_lane(statement: str) -> bool:
    """Rows that are inserted as they stand: one, or such as begin with the same lane."""
    inserted = re.match(r"INSERT INTO \w+ \(lane, [\w, ]+\) VALUES (.*)", statement)
    if inserted is None:
        return False
    firsts = re.findall(r"\((\$\d+)", inserted[1])
    return len(firsts) == 1 or set(firsts) == {"$1"}


class Written(NamedTuple):
    """A row that a transaction wrote, with which of its statements, into which lane."""

    table: str
    transaction: int
    statement: int
    lane: int


async def transaction_of(url: str) -> int:
    """The number of a transaction of now."""
    (row,) = await ask(url, "SELECT pg_current_xact_id()::text::bigint AS number")
    return int(row["number"])


async def written_since(url: str, transaction: int) -> list[Written]:
    """The rows of growing tables that were written by transactions after that one, and are there."""
    tables = " UNION ALL ".join(
        f"SELECT '{table.name}' AS name, xmin::text::bigint AS by, cmin::text::bigint AS step, lane FROM {table.name}"
        for table in GROWING
    )
    rows = await ask(url, f"SELECT * FROM ({tables}) AS written WHERE by > {transaction} ORDER BY by, step")
    return [Written(*row) for row in rows]


def lanes_of_each(written: Iterable[Written], key: Callable[[Written], Hashable]) -> list[set[int]]:
    """The lanes of rows that are alike in this."""
    found: dict[Hashable, set[int]] = {}
    for one in written:
        found.setdefault(key(one), set()).add(one.lane)
    return list(found.values())


def of_one_statement(one: Written) -> Hashable:
    return one.transaction, one.statement


def of_one_transaction(one: Written) -> Hashable:
    return one.transaction
