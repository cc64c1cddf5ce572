"""Many rows in one statement, on either engine: what the writer's hot path hands straight to the driver.

On PostgreSQL rows are copied in as text, and other statements take one array a column; on SQLite one tuple a row.
Where tables are spread over nodes by lane, a statement is for the rows of one lane, and names it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.clock import moment_text
from alikassa.money import from_units, to_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Columns", "ReadyRows", "columns_of", "find_rows", "insert_rows", "is_by_lane", "units", "update_rows"]


#: Values that a statement may have on SQLite, as it is commonly built.
_MOST_VALUES = 32_000
# Of an amount, before its point.
_DIGITS = 18


class _Type(NamedTuple):
    """How PostgreSQL names an array of it and what it is cast to, how either engine wants a value, and its text."""

    array: str
    cast: str
    postgresql: Callable[[Any], Any] | None
    sqlite: Callable[[Any], Any] | None
    text: Callable[[Any], str]


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _nullable(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "\\N" if value is None else text(value)


def _bytes_text(value: bytes) -> str:
    return f"\\\\x{value.hex()}"


def _escaped(value: str) -> str:
    """Text as COPY reads it. Line ends and tabs do not occur: what is kept is printable."""
    return value.replace("\\", "\\\\") if "\\" in value else value


# Amounts travel as text and are cast there: the driver's own coding of a Decimal takes longer.
_TYPES = {
    "SmallInteger": _Type("smallint[]", "", None, None, str),
    "Integer": _Type("integer[]", "", None, None, str),
    "BigInteger": _Type("bigint[]", "", None, None, str),
    "Boolean": _Type("boolean[]", "", None, int, str),
    "LargeBinary": _Type("bytea[]", "", None, None, _bytes_text),
    "Text": _Type("text[]", "", None, None, _escaped),
    "Amount": _Type("text[]", "::numeric(38,8)", from_units, from_units, from_units),
    "Moment": _Type("timestamptz[]", "", None, _optional(moment_text), moment_text),
    "Uuid": _Type("uuid[]", "", None, str, str),
}


def _type(column: sa.Column[Any]) -> _Type:
    one = _TYPES[type(column.type).__name__]
    return one._replace(sqlite=_optional(one.sqlite)) if column.nullable and one.sqlite is not None else one


class Columns:
    """Some columns of a table, and the statements over them."""

    def __init__(self, table: sa.Table, names: Sequence[str], index: str) -> None:
        self.table = table.name
        self.index = index
        self.names = tuple(names)
        self.types = [_type(table.c[name]) for name in names]
        self._texts = [
            _nullable(one.text) if table.c[name].nullable else one.text
            for name, one in zip(names, self.types, strict=True)
        ]

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

    def lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """A line a row, for PostgreSQL's COPY."""
        columns = [map(text, column) for text, column in zip(self._texts, zip(*rows, strict=True), strict=True)]
        return "".join(["\t".join(line) + "\n" for line in zip(*columns, strict=True)]).encode()

    def unnest(self) -> str:
        return f"unnest({', '.join(f'${n}::{one.array}' for n, one in enumerate(self.types, 1))})"


def columns_of(table: sa.Table, *names: str, index: str = "") -> Columns:
    """These columns, or all of the table's. With the name of an `index`, SQLite finds rows by that one: left to itself
    it takes the primary key, however little of it is named, rather than an index that is not unique."""
    return Columns(table, names or [column.name for column in table.columns], index)


class ReadyRows:
    """Rows that are made for their statement, which may be before its transaction begins. Of one lane, where tables are
    spread over nodes."""

    def __init__(self, columns: Columns, *, postgresql: bool) -> None:
        self._columns = columns
        self._postgresql = postgresql
        self._lines: list[bytes] = []
        self._tuples: list[tuple[Any, ...]] = []

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        if self._postgresql:
            self._lines.append(self._columns.lines(rows))
        else:
            self._tuples += self._columns.tuples(rows)

    async def insert(self, connection: AsyncConnection) -> None:
        """On PostgreSQL some statement of the transaction has to come before: it is what begins it."""
        table, names = self._columns.table, self._columns.names
        if self._lines:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            # Not bytes, which the driver takes for the name of a file, nor a file in memory: it would make a class for
            # that, each time, and read it in other threads.
            await driver.copy_to_table(table, source=memoryview(b"".join(self._lines)), columns=names)
        elif self._tuples:
            marks = ", ".join("?" * len(names))
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names from the schema
            await connection.exec_driver_sql(statement, self._tuples)


async def insert_rows(connection: AsyncConnection, columns: Columns, rows: Sequence[Sequence[Any]]) -> None:
    """As `ReadyRows`, at once and of any lanes."""
    if not rows:
        return
    for _, one_lane, _ in _lanes(connection, columns, rows):
        ready = ReadyRows(columns, postgresql=connection.dialect.name == "postgresql")
        ready.add(one_lane)
        await ready.insert(connection)


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
        count = 0
        for lane, one_lane, named in _lanes(connection, columns, rows):
            statement = f"UPDATE {table} t SET {changes} FROM {columns.unnest()} AS u ({aliases}) WHERE {lane}{same}"  # noqa: S608
            count += (await connection.exec_driver_sql(statement, (*columns.arrays(one_lane), *named))).rowcount
        return count
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
    """The rows whose `keys` are among `rows`: the columns `wanted` of the table, which is called t.

    On SQLite `order` is kept within some thousand keys, and where tables are spread within a lane: among the rows of
    one key it always is.
    """
    if not rows:
        return []
    same = " AND ".join(f"t.{name} = u.c{n}" for n, name in enumerate(keys.names))
    tail = f"{' AND ' + condition if condition else ''}{' ORDER BY ' + order if order else ''}"
    if connection.dialect.name == "postgresql":
        aliases = ", ".join(f"c{n}" for n in range(len(keys.names)))
        tail += " FOR NO KEY UPDATE OF t" if lock else ""
        found: list[Any] = []
        for lane, one_lane, named in _lanes(connection, keys, rows):
            statement = (
                f"SELECT {wanted} FROM {keys.unnest()} AS u ({aliases}) JOIN {keys.table} t ON {lane}{same}{tail}"  # noqa: S608
            )
            found += (await connection.exec_driver_sql(statement, (*keys.arrays(one_lane), *named))).all()
        return found
    marks = f"({', '.join('?' * len(keys.names))})"
    same = " AND ".join(f"t.{name} = u.column{n}" for n, name in enumerate(keys.names, 1))
    table = f"{keys.table} t INDEXED BY {keys.index}" if keys.index else f"{keys.table} t"
    together = _MOST_VALUES // len(keys.names)
    values = keys.tuples(rows)
    result: list[Any] = []
    for start in range(0, len(values), together):
        part = values[start : start + together]
        statement = (
            f"SELECT {wanted} FROM (VALUES {', '.join([marks] * len(part))}) AS u"  # noqa: S608
            f" CROSS JOIN {table} ON {same}{tail}"
        )
        result += (await connection.exec_driver_sql(statement, tuple(value for row in part for value in row))).all()
    return result


def _lanes(
    connection: AsyncConnection, columns: Columns, rows: Sequence[Sequence[Any]]
) -> Iterable[tuple[str, Sequence[Sequence[Any]], tuple[int, ...]]]:
    """The rows as statements take them: a condition to begin with, the rows it is for, and its values.

    In the order of lanes, so that locks are taken in one order.
    """
    if not is_by_lane(connection):
        return [("", rows, ())]
    parts: dict[int, list[Sequence[Any]]] = {}
    for row in rows:
        parts.setdefault(row[0], []).append(row)
    # The first column of every key, and of every row, is the lane.
    condition = f"t.lane = ${len(columns.names) + 1} AND "
    return [(condition, parts[lane], (lane,)) for lane in sorted(parts)]


def is_by_lane(connection: AsyncConnection) -> bool:
    """Whether its tables are spread over nodes, so that a statement is for one lane: see `Database` and `Writer`."""
    plain = connection.sync_connection
    return plain is not None and bool(plain.get_execution_options().get("by_lane", False))


def units(value: object) -> int:
    """An amount as a driver gives it."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    whole, point, fraction = text[:-9], text[-9:-8], text[-8:]
    if point == "." and len(whole) <= _DIGITS and whole.isdecimal() and fraction.isdecimal():
        # As all that the books have written: nothing is left to find out.
        return int(whole + fraction)
    return to_units(text)
