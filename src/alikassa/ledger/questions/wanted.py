"""Many small questions in one statement: rows that the question brings along, as a table called u.

Where tables are spread over nodes by lane, it is one statement a lane, which names it as a constant: the lane of a row
that the question brings is nothing that an engine could choose a node by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa.clock import moment_text
from alikassa.ledger.bulk import is_by_lane

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    Row = Sequence[int | uuid.UUID | datetime]

__all__ = ["Wanted", "ask"]


class Wanted:
    """Rows of integers, uuids and moments: a number, the lane, and what else is asked by.

    `table` is what stands after FROM, `values` are the statement's parameters. The columns are u.c0, u.c1 and so on.
    `lane` is what every lane of a table is compared with, in sub-selects too.
    """

    def __init__(self, rows: Sequence[Row], *, postgresql: bool, one_lane: bool = False) -> None:
        names = [f"c{n}" for n in range(len(rows[0]))]
        self.lane = "u.c1"
        if postgresql:
            arrays = ", ".join(f"${n}::{_array(value)}" for n, value in enumerate(rows[0], 1))
            self.table = f"unnest({arrays}) AS u ({', '.join(names)})"
            self.values: tuple[Any, ...] = tuple(map(list, zip(*rows, strict=True)))
            if one_lane:
                self.lane = f"${len(names) + 1}::smallint"
                self.values += (rows[0][1],)
            return
        marks = f"({', '.join('?' * len(names))})"
        columns = ", ".join(f"column{n} AS {name}" for n, name in enumerate(names, 1))
        self.table = f"(SELECT {columns} FROM (VALUES {', '.join([marks] * len(rows))})) AS u"  # noqa: S608 - marks
        self.values = tuple(_sqlite(value) for row in rows for value in row)


async def ask(
    connection: AsyncConnection, statement: Callable[[Wanted], str], rows: Sequence[Row]
) -> list[tuple[Any, ...]]:
    """What the statement finds for the rows, in the order of its first column, the number of the row."""
    found: list[tuple[Any, ...]] = []
    for wanted in _wanted(connection, rows):
        found += map(tuple, (await connection.exec_driver_sql(statement(wanted), wanted.values)).all())
    return sorted(found, key=lambda row: row[0])


def _wanted(connection: AsyncConnection, rows: Sequence[Row]) -> Iterable[Wanted]:
    """The rows as statements take them: all at once, or those of one lane after those of another."""
    if not is_by_lane(connection):
        return [Wanted(rows, postgresql=connection.dialect.name == "postgresql")]
    lanes: dict[Any, list[Row]] = {}
    for row in rows:
        lanes.setdefault(row[1], []).append(row)
    return [Wanted(lanes[lane], postgresql=True, one_lane=True) for lane in sorted(lanes)]


def _array(value: object) -> str:
    return "bigint[]" if isinstance(value, int) else "timestamptz[]" if hasattr(value, "tzinfo") else "uuid[]"


def _sqlite(value: Any) -> int | str:
    if isinstance(value, int):
        return value
    return moment_text(value) if hasattr(value, "tzinfo") else str(value)
