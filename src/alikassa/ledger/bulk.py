"""Many rows in one statement, on either engine: what the writer's hot path hands straight to the driver.

On PostgreSQL a statement takes one array a column, on SQLite one tuple a row.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.ledger.types import moment_text
from alikassa.money import from_units, to_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Columns", "columns_of", "find_rows", "insert_rows", "units", "update_rows"]


class _Type(NamedTuple):
    """How PostgreSQL names an array of it, what it is cast to, and how either engine wants a value."""

    array: str
    cast: str
    postgresql: Callable[[Any], Any] | None
    sqlite: Callable[[Any], Any] | None


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


# Amounts travel as text and are cast there: the driver's own coding of a Decimal takes longer.
_TYPES = {
    "SmallInteger": _Type("smallint[]", "", None, None),
    "Integer": _Type("integer[]", "", None, None),
    "BigInteger": _Type("bigint[]", "", None, None),
    "Boolean": _Type("boolean[]", "", None, int),
    "LargeBinary": _Type("bytea[]", "", None, None),
    "Text": _Type("text[]", "", None, None),
    "Amount": _Type("text[]", "::numeric(38,8)", from_units, from_units),
    "Moment": _Type("timestamptz[]", "", None, _optional(moment_text)),
    "Uuid": _Type("uuid[]", "", None, str),
}


class Columns:
    """Some columns of a table, and the statements over them."""

    def __init__(self, table: sa.Table, names: Sequence[str]) -> None:
        self.table = table.name
        self.names = tuple(names)
        self.types = [_TYPES[type(table.c[name].type).__name__] for name in names]

    def arrays(self, rows: Sequence[Sequence[Any]]) -> tuple[list[Any], ...]:
        """A list a column, for PostgreSQL."""
        return tuple(
            list(column) if one.postgresql is None else [one.postgresql(value) for value in column]
            for one, column in zip(self.types, zip(*rows, strict=True), strict=True)
        )

    def tuples(self, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """A tuple a row, for SQLite."""
        converts = [one.sqlite for one in self.types]
        return [
            tuple([value if convert is None else convert(value) for convert, value in zip(converts, row, strict=True)])
            for row in rows
        ]

    def unnest(self) -> str:
        return f"unnest({', '.join(f'${n}::{one.array}' for n, one in enumerate(self.types, 1))})"


def columns_of(table: sa.Table, *names: str) -> Columns:
    """These columns, or all of the table's."""
    return Columns(table, names or [column.name for column in table.columns])


async def insert_rows(connection: AsyncConnection, columns: Columns, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    names = ", ".join(columns.names)
    if connection.dialect.name == "postgresql":
        values = ", ".join(f"u.c{n}{one.cast}" for n, one in enumerate(columns.types))
        aliases = ", ".join(f"c{n}" for n in range(len(columns.types)))
        statement = f"INSERT INTO {columns.table} ({names}) SELECT {values} FROM {columns.unnest()} AS u ({aliases})"  # noqa: S608 - names from the schema
        await connection.exec_driver_sql(statement, columns.arrays(rows))
    else:
        marks = ", ".join("?" * len(columns.names))
        statement = f"INSERT INTO {columns.table} ({names}) VALUES ({marks})"  # noqa: S608 - names from the schema
        await connection.exec_driver_sql(statement, columns.tuples(rows))


async def update_rows(connection: AsyncConnection, columns: Columns, keys: int, rows: Sequence[Sequence[Any]]) -> int:
    """Set the other columns where the first `keys` columns are equal; how many rows there were."""
    if not rows:
        return 0
    table, names = columns.table, columns.names
    if connection.dialect.name == "postgresql":
        aliases = ", ".join(f"c{n}" for n in range(len(names)))
        changes = ", ".join(
            f"{name} = u.c{n}{one.cast}"
            for n, (name, one) in enumerate(zip(names, columns.types, strict=True))
            if n >= keys
        )
        same = " AND ".join(f"t.{name} = u.c{n}" for n, name in enumerate(names[:keys]))
        statement = f"UPDATE {table} t SET {changes} FROM {columns.unnest()} AS u ({aliases}) WHERE {same}"  # noqa: S608
        return (await connection.exec_driver_sql(statement, columns.arrays(rows))).rowcount
    changes = ", ".join(f"{name} = ?" for name in names[keys:])
    same = " AND ".join(f"{name} = ?" for name in names[:keys])
    statement = f"UPDATE {table} SET {changes} WHERE {same}"  # noqa: S608 - names from the schema
    values = [row[keys:] + row[:keys] for row in columns.tuples(rows)]
    return (await connection.exec_driver_sql(statement, values)).rowcount


async def find_rows(
    connection: AsyncConnection,
    keys: Columns,
    rows: Sequence[Sequence[Any]],
    wanted: str,
    *,
    condition: str = "",
    order: str = "",
    lock: bool = False,
) -> list[Any]:
    """The rows whose `keys` are among `rows`: the columns `wanted` of the table, which is called t."""
    if not rows:
        return []
    same = " AND ".join(f"t.{name} = u.c{n}" for n, name in enumerate(keys.names))
    tail = f"{' AND ' + condition if condition else ''}{' ORDER BY ' + order if order else ''}"
    if connection.dialect.name == "postgresql":
        aliases = ", ".join(f"c{n}" for n in range(len(keys.names)))
        statement = f"SELECT {wanted} FROM {keys.unnest()} AS u ({aliases}) JOIN {keys.table} t ON {same}{tail}"  # noqa: S608
        if lock:
            statement += " FOR NO KEY UPDATE OF t"
        found = await connection.exec_driver_sql(statement, keys.arrays(rows))
    else:
        marks = f"({', '.join('?' * len(keys.names))})"
        same = " AND ".join(f"t.{name} = u.column{n}" for n, name in enumerate(keys.names, 1))
        statement = (
            f"SELECT {wanted} FROM (VALUES {', '.join([marks] * len(rows))}) AS u"  # noqa: S608
            f" CROSS JOIN {keys.table} t ON {same}{tail}"
        )
        found = await connection.exec_driver_sql(statement, tuple(value for row in keys.tuples(rows) for value in row))
    return list(found.all())


def units(value: object) -> int:
    """An amount as a driver gives it."""
    return to_units(format(value, "f") if isinstance(value, Decimal) else str(value))
