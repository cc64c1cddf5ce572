"""The rows of a table in the order of its key, a page at a time: those of one account lie together in every table.

Pages of several tables are read side by side, over one connection and so of one state of the database.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alikassa.errors import AlikassaError
from alikassa.ledger.bulk import is_by_lane
from alikassa.ledger.ids import LANES, lane_of
from alikassa.ledger.verify.forms import Forms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.verify.problems import Problems

__all__ = ["PAGE", "UNREADABLE", "Key", "Pages"]

Row = TypeVar("Row")
#: (lane, the account's uuid as text, then numbers): compares as the database does.
Key = tuple[Any, ...]

PAGE = 1000
#: What the making of a shape raises when the row says nonsense.
UNREADABLE = (ValueError, KeyError, AlikassaError)


class Pages(Generic[Row]):
    """Rows of `table` by `order`, of all accounts or of one, each made into its shape by `convert`.

    `wanted` are the columns that `convert` takes, as in `alikassa.ledger.rows`. A row that cannot be read is a
    problem and left out. Where tables are spread over nodes, those of all accounts are read lane by lane.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        problems: Problems,
        table: sa.Table,
        order: Sequence[str],
        wanted: str,
        convert: Callable[[Sequence[Any]], Row],
        *,
        account: uuid.UUID | None = None,
    ) -> None:
        self._connection, self._problems, self._convert = connection, problems, convert
        self._name = table.name
        self._order = tuple(order)
        self._numbered = "sequence" in self._order
        self._postgresql = connection.dialect.name == "postgresql"
        names = [*self._order, *(name.removeprefix("t.") for name in wanted.split(", "))]
        self._forms = None if self._postgresql else Forms(table, names)
        self._select = f"SELECT {', '.join(f't.{name}' for name in self._order)}, {wanted} FROM {table.name} t"  # noqa: S608
        self._account = account
        # The lane that is read, where it is lane by lane: first and last what lies in none that there is.
        self._lane = -1 if account is None and is_by_lane(connection) else None
        self._last: tuple[Any, ...] | None = None
        self._ended = False
        self._rows: list[tuple[Key, Row]] = []
        self._next = 0
        #: Rows read so far.
        self.count = 0

    async def within(self, prefix: Key) -> AsyncIterator[Row]:
        """The rows whose key begins so, one by one. Rows before them belong to nothing, and are a problem."""
        while self._next < len(self._rows) or await self._turn():
            key, row = self._rows[self._next]
            start = key[: len(prefix)]
            if start > prefix:
                return
            self._next += 1
            if start == prefix:
                yield row
            else:
                self._stray(key)

    async def take(self, prefix: Key) -> list[Row]:
        """As `within`, all of them."""
        found: list[Row] = []
        while self._next < len(self._rows) or await self._turn():
            key, row = self._rows[self._next]
            start = key[: len(prefix)]
            if start > prefix:
                break
            self._next += 1
            if start == prefix:
                found.append(row)
            else:
                self._stray(key)
        return found

    async def drain(self) -> None:
        """What is left belongs to nothing."""
        while self._next < len(self._rows) or await self._turn():
            self._stray(self._rows[self._next][0])
            self._next += 1

    def _stray(self, key: Key) -> None:
        sequence = key[2] if self._numbered else None
        name = ".".join(str(part) for part in key[2:])
        self._problems.add(uuid.UUID(key[1]), sequence, f"No entry made what {self._name} has as {name or key[1]}.")

    async def _turn(self) -> bool:
        """Read on; whether there was anything."""
        while not self._ended:
            found = await self._read()
            ended = len(found) < PAGE
            self._rows = [one for one in map(self._shape, found) if one is not None]
            self._next = 0
            self.count += len(self._rows)
            if not ended:
                self._last = tuple(found[-1][: len(self._order)])
            elif self._lane is not None and self._lane < LANES:
                self._lane, self._last = self._lane + 1, None
            else:
                self._ended = True
            if self._rows:
                return True
        return False

    async def _read(self) -> Sequence[Sequence[Any]]:
        values: list[Any] = []

        def mark(value: Any) -> str:
            values.append(value)
            return f"${len(values)}" if self._postgresql else "?"

        conditions = []
        order = self._order
        if self._lane is not None:
            if 0 <= self._lane < LANES:
                conditions.append(f"t.lane = {mark(self._lane)}")
                order = order[1:]
            else:
                conditions.append("t.lane < 0" if self._lane < 0 else f"t.lane >= {LANES}")
        if self._account is not None:
            own = self._account if self._postgresql else str(self._account)
            conditions += [f"t.lane = {mark(lane_of(self._account))}", f"t.{self._order[1]} = {mark(own)}"]
        names = ", ".join(f"t.{name}" for name in order)
        if self._last is not None:
            conditions.append(f"({names}) > ({', '.join(mark(value) for value in self._last[-len(order) :])})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f"{self._select}{where} ORDER BY {names} LIMIT {PAGE}"
        return (await self._connection.exec_driver_sql(statement, tuple(values))).all()

    def _shape(self, row: Sequence[Any]) -> tuple[Key, Row] | None:
        """The key as it compares in Python, and the row's shape."""
        width = len(self._order)
        wrong = None if self._forms is None else self._forms.wrong(row)
        if wrong is None:
            try:
                return (row[0], str(row[1]), *row[2:width]), self._convert(row[width:])
            except UNREADABLE as error:
                wrong = str(error)
        self._problems.add(
            _uuid_or_none(row[1]),
            row[2] if self._numbered and type(row[2]) is int else None,
            f"A row of {self._name} cannot be read: {wrong}.",
        )
        return None


def _uuid_or_none(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return None
