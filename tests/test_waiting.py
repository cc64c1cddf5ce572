"""What waits is bounded, in number and in time: past either, whoever comes is told at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger.database import Database
from alikassa.ledger.reader import MOST_JOINED, reader_for
from alikassa.ledger.waiting import MOST_SECONDS, MOST_WAITING
from conftest import open_shop

pytestmark = pytest.mark.anyio


@pytest.mark.by_the_clock
async def test_a_slow_database_makes_nobody_wait_long(postgresql_url: str, archives: Callable[[str], Path]) -> None:
    """While a read hangs, so many may wait and no more; once they have waited a second, none; then all are told, and
    when the database answers again, so do we."""
    shop = await open_shop(postgresql_url, archives("payout"), archives("payment"))
    async with await Database.open(postgresql_url) as database:
        reader = reader_for(database)
        before = await reader.find(str(shop.account))
        assert before is not None
        blocker = await asyncpg.connect(postgresql_url)
        await blocker.execute("BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")

        def ask(count: int) -> list[asyncio.Future[object]]:
            return [reader.find(str(uuid.uuid4())) for _ in range(count)]  # type: ignore[misc]

        reading = ask(MOST_JOINED)
        await asyncio.sleep(0.05)  # the database has these
        waiting = ask(MOST_WAITING)
        assert not any(one.done() for one in waiting)
        (refused,) = ask(1)
        assert isinstance(refused.exception(), DatabaseUnavailableError)

        await asyncio.sleep(MOST_SECONDS)
        for one in waiting[MOST_WAITING // 2 :]:
            one.cancel()
        (refused,) = ask(1)
        assert isinstance(refused.exception(), DatabaseUnavailableError)

        await blocker.execute("ROLLBACK")
        start = time.monotonic()
        assert set(await asyncio.gather(*reading)) == {None}
        told = await asyncio.gather(*waiting[: MOST_WAITING // 2], return_exceptions=True)
        assert {type(one) for one in told} == {DatabaseUnavailableError}
        after = await reader.find(str(shop.account))
        assert after is not None
        assert after.balance == before.balance
        assert time.monotonic() - start < MOST_SECONDS
        await blocker.close()
        await reader.close()


async def test_connections_are_bounded(sqlite_shop: object, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many questions at once a few have a connection; one that finds none in time is refused."""
    monkeypatch.setattr("alikassa.ledger.database.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("alikassa.ledger.database.MOST_CONNECTIONS", 3)
    async with await Database.open(sqlite_url) as database:
        held, most = 0, 0

        async def ask(seconds: float) -> None:
            nonlocal held, most
            async with database.read():
                held += 1
                most = max(most, held)
                await asyncio.sleep(seconds)
                held -= 1

        await asyncio.gather(*[ask(0.05) for _ in range(12)])
        assert most == 3
        slow = [asyncio.create_task(ask(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(DatabaseUnavailableError, match="wait for the database"):
            await ask(0)
        for one in slow:
            one.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await ask(0)
