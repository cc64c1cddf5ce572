"""SQLite's driver as SQLAlchemy uses it: all rows, few turns of its thread, few threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.sqlite_driver import DriverConnection

pytestmark = pytest.mark.anyio

_COUNTED = sa.text(
    "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :most) SELECT n FROM counted"
)


@pytest.mark.parametrize("most", [1, 499, 500, 501, 1700])
async def test_every_row_comes_once_and_in_order(sqlite_url: str, most: int) -> None:
    expected = list(range(1, most + 1))
    async with await Database.open(sqlite_url, create=True) as database, database.read() as connection:
        assert list((await connection.scalars(_COUNTED, {"most": most})).all()) == expected
        async with connection.stream(_COUNTED, {"most": most}) as stream:
            assert [row.n async for row in stream] == expected
        async with connection.stream(_COUNTED, {"most": most}) as stream:
            assert [row.n for row in await stream.fetchmany(3)] == expected[:3]
        # One that was left before its end is in nobody's way.
        assert await connection.scalar(_COUNTED, {"most": most}) == 1


async def test_a_changed_row_is_counted_and_given_back(sqlite_url: str) -> None:
    async with await Database.open(sqlite_url, create=True) as database, database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        many = await connection.execute(
            sa.text("INSERT INTO numbers VALUES (:n)"), [{"n": number} for number in range(7)]
        )
        assert many.rowcount == 7
        changed = await connection.execute(sa.text("UPDATE numbers SET n = n + 100 WHERE n < 3 RETURNING n"))
        assert sorted(changed.scalars()) == [100, 101, 102]
        assert (await connection.execute(sa.text("DELETE FROM numbers WHERE n < 100"))).rowcount == 4


async def test_a_statement_takes_one_turn(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    run: Any = DriverConnection._execute

    async def counted(self: DriverConnection, work: Any, *given: Any, **named: Any) -> Any:
        turns.append(work)
        return await run(self, work, *given, **named)

    monkeypatch.setattr(DriverConnection, "_execute", counted)
    async with await Database.open(sqlite_url, create=True) as database, database.read() as connection:
        await connection.scalar(sa.text("SELECT 1"))
        turns.clear()
        for _ in range(5):
            assert await connection.scalar(_COUNTED, {"most": 100}) == 1
        assert len(turns) == 5


async def test_questions_one_after_another_share_a_thread(sqlite_url: str) -> None:
    threads = set()
    async with await Database.open(sqlite_url, create=True) as database:
        before = set(threading.enumerate())
        for _ in range(20):
            async with database.read() as connection:
                await connection.scalar(sa.text("SELECT 1"))
            threads |= set(threading.enumerate()) - before
        assert not threads
        # As many as are needed at once, and no more than a few of them stay.
        await asyncio.gather(*(_ask(database) for _ in range(12)))
        assert len(set(threading.enumerate()) - before) <= 5
    await asyncio.sleep(0.2)
    assert not (set(threading.enumerate()) - before)


async def _ask(database: Database) -> None:
    async with database.read() as connection:
        await connection.scalar(_COUNTED, {"most": 20_000})
