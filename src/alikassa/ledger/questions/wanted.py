"""Many small questions in one statement: rows that the question brings along, as a table called u."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa.clock import moment_text

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Wanted", "ask"]


class Wanted:
    """Rows of integers, uuids and moments. `table` is what stands after FROM, `values` its parameters.

    The columns are u.c0, u.c1 and so on.
    """

    def __init__(self, rows: Sequence[Sequence[int | uuid.UUID | datetime]], *, postgresql: bool) -> None:
        names = [f"c{n}" for n in range(len(rows[0]))]
        if postgresql:
            arrays = ", ".join(f"${n}::{_array(value)}" for n, value in enumerate(rows[0], 1))
            self.table = f"unnest({arrays}) AS u ({', '.join(names)})"
            self.values: tuple[Any, ...] = tuple(map(list, zip(*rows, strict=True)))
            return
        marks = f"({', '.join('?' * len(names))})"
        columns = ", ".join(f"column{n} AS {name}" for n, name in enumerate(names, 1))
        self.table = f"(SELECT {columns} FROM (VALUES {', '.join([marks] * len(rows))})) AS u"  # noqa: S608 - marks
        self.values = tuple(_sqlite(value) for row in rows for value in row)


async def ask(connection: AsyncConnection, statement: str, wanted: Wanted) -> list[tuple[Any, ...]]:
    """What the statement finds for them, which has `wanted.table` in it, in the order of its first column."""
    found = await connection.exec_driver_sql(statement, wanted.values)
    return sorted((tuple(row) for row in found.all()), key=lambda row: row[0])


def _array(value: object) -> str:
    return "bigint[]" if isinstance(value, int) else "timestamptz[]" if hasattr(value, "tzinfo") else "uuid[]"


def _sqlite(value: Any) -> int | str:
    if isinstance(value, int):
        return value
    return moment_text(value) if hasattr(value, "tzinfo") else str(value)
