"""Sums of amounts in SQLite, whose own go through floats, are exact to the last of 26 digits."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from alikassa.ledger.questions.sums import Sum, packed_sums, summed, summed_each, unpacked
from alikassa.ledger.types import Amount
from alikassa.money import BOUND, SCALE

pytestmark = pytest.mark.anyio

TABLE = sa.Table("amounts", sa.MetaData(), sa.Column("place", sa.Text), sa.Column("amount", Amount))
LARGEST = BOUND - 1


def drawn(dice: random.Random) -> int:
    """Of any size, up to the largest."""
    return dice.choice([-1, 1]) * dice.randrange(10 ** dice.randrange(1, 27))


DICE = random.Random(3)  # noqa: S311 - the same amounts each time
AMOUNTS = {
    "one": [-SCALE // 2],
    "none after all": [LARGEST, -LARGEST, 1, -1],
    "many of the largest": [LARGEST] * 2000,
    "many of the smallest": [-LARGEST] * 2000,
    "decimals that carry": [SCALE - 1] * 333 + [1 - SCALE] * 332,
    "around a thousand million": [10**9 * SCALE - 1, 10**9 * SCALE, -(10**9) * SCALE - 1],
    "any": [drawn(DICE) for _ in range(3000)],
    "of the last digits": [-DICE.randrange(SCALE) for _ in range(1000)],
}


async def test_sums_in_sqlite_are_those_of_integers() -> None:
    """By column, case by case, and packed: with signs that only the decimals show, and far past 64 bits."""
    expected = {place: Sum(sum(amounts), len(amounts)) for place, amounts in AMOUNTS.items()}
    assert expected["many of the largest"].total > 2**63 * SCALE
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.connect() as connection:
        await connection.run_sync(TABLE.create)
        rows = [{"place": place, "amount": amount} for place, amounts in AMOUNTS.items() for amount in amounts]
        await connection.execute(TABLE.insert(), rows)
        by_column = await summed(connection, (TABLE.c.place,), TABLE.c.amount, TABLE)
        assert {place: one for (place,), one in by_column.items()} == expected
        cases: dict[str, sa.ColumnElement[bool]] = {place: TABLE.c.place == place for place in [*expected, "nobody"]}
        by_case = await summed_each(connection, cases, TABLE.c.amount, TABLE)
        assert by_case == expected | {"nobody": Sum(0, 0)}
        columns = packed_sums("amount", [f"place = '{place}'" for place in cases], postgresql=False)
        packed = (await connection.exec_driver_sql(f"SELECT {columns} FROM amounts")).scalar_one()
        assert dict(zip(cases, unpacked(packed, len(cases)), strict=True)) == by_case
    await engine.dispose()
