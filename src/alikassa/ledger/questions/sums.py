"""Exact sums of amounts on either engine.

SQLite keeps an amount as text, and its own sum of text goes through floats. There, three integers are summed, none of
which can overflow: the digits above 10^9, the nine below, and the eight decimals, each with the amount's sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from alikassa.money import SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Sum", "packed_sums", "summed", "summed_each", "unpacked"]

_NINE_DIGITS = 10**9


class Sum(NamedTuple):
    """Of some amounts, in units."""

    total: int = 0
    rows: int = 0


def packed_sums(amount: str, cases: Sequence[str], *, postgresql: bool) -> str:
    """SQL for the count and the sum of a column in each case, as one text: what a subquery can give. See `unpacked`."""
    parts = (amount,) if postgresql else _parts(amount)
    columns = [
        one
        for case in cases
        for one in (f"count(*) FILTER (WHERE {case})", *(f"sum({part}) FILTER (WHERE {case})" for part in parts))
    ]
    return " || ' ' || ".join(f"coalesce(CAST({one} AS text), '0')" for one in columns)


def unpacked(text: str, cases: int) -> list[Sum]:
    """What `packed_sums` gave, case by case."""
    columns = text.split(" ")
    width = len(columns) // cases
    return [
        Sum(_sum_of(columns[start + 1 : start + width]), int(columns[start])) for start in range(0, len(columns), width)
    ]


def _sum_of(columns: Sequence[Any]) -> int:
    """In units; 0 of no rows."""
    if columns[0] is None:
        return 0
    if len(columns) == 1:
        return int(columns[0].replace(".", ""))
    high, low, decimals = map(int, columns)
    return int((high * _NINE_DIGITS + low) * SCALE + decimals)


async def summed(
    connection: AsyncConnection,
    by: Sequence[sa.ColumnElement[Any]],
    amount: sa.ColumnElement[int],
    source: sa.FromClause,
    *where: sa.ColumnElement[bool],
) -> dict[tuple[Any, ...], Sum]:
    """The sums of a column by others."""
    columns = (*by, sa.func.count(), *_sums(connection, amount))
    found = await connection.execute(sa.select(*columns).select_from(source).where(*where).group_by(*by))
    width = len(by)
    return {tuple(row[:width]): Sum(_sum_of(row[width + 1 :]), row[width]) for row in found if row[width]}


async def summed_each(
    connection: AsyncConnection,
    cases: Mapping[Any, sa.ColumnElement[bool]],
    amount: sa.ColumnElement[int],
    source: sa.FromClause,
    *where: sa.ColumnElement[bool],
) -> dict[Any, Sum]:
    """The sums of a column in each case, in one pass and unsorted: of many rows, SQLite first sorts what it groups."""
    columns = [
        one for case in cases.values() for one in (sa.func.count().filter(case), *_sums(connection, amount, case))
    ]
    (row,) = await connection.execute(sa.select(*columns).select_from(source).where(*where))
    width = len(columns) // len(cases)
    return {
        case: Sum(_sum_of(row[start + 1 : start + width]), row[start])
        for case, start in zip(cases, range(0, len(columns), width), strict=True)
    }


def _sums(
    connection: AsyncConnection, amount: sa.ColumnElement[int], case: sa.ColumnElement[bool] | None = None
) -> list[sa.ColumnElement[Any]]:
    def summing(part: str) -> sa.ColumnElement[Any]:
        whole: sa.ColumnElement[Any] = sa.func.sum(sa.literal_column(part))
        return whole if case is None else whole.filter(case)

    if connection.dialect.name == "postgresql":
        # As text: a total of many accounts may exceed what one may have, and Decimal what its context rounds to.
        return [sa.cast(summing(str(amount)), sa.Text)]
    return [summing(part) for part in _parts(str(amount))]


def _parts(amount: str) -> tuple[str, str, str]:
    """The integers that are summed on SQLite."""
    # A cast to an integer takes the digits before the point, which of -0.5 leaves no sign; '-' sorts before the point.
    whole, decimals = f"CAST({amount} AS INTEGER)", f"CAST(substr({amount}, -8) AS INTEGER)"
    return (
        f"{whole} / {_NINE_DIGITS}",
        f"{whole} % {_NINE_DIGITS}",
        f"CASE WHEN {amount} < '.' THEN -{decimals} ELSE {decimals} END",
    )
