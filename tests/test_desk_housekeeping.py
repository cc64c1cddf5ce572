"""The desk's housekeeping: one kind of it that fails ends no other."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from alikassa.ledger.books import Books
from alikassa.ledger.database import Database
from alikassa.server.operator import desk as desk_module
from alikassa.server.operator.desk import open_desk
from alikassa.server.operator.log import OperatorLog
from alikassa.server.settings import Settings

pytestmark = pytest.mark.anyio


async def test_statistics_that_cannot_be_made_fail_no_sweep(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told of, once until they are tried again; what is due goes on being released, and no sweep is told as
    failed."""
    told: list[str] = []
    swept, enough = 0, asyncio.Event()
    sweep = Books.sweep

    async def broken(_: Database) -> list[str]:
        raise OSError("no room for statistics")

    async def counted(books: Books) -> int:
        nonlocal swept
        found = await sweep(books)
        swept += 1
        if swept >= 3:
            enough.set()
        return found

    monkeypatch.setattr(desk_module, "refresh_statistics", broken)
    monkeypatch.setattr(OperatorLog, "statistics_failed", lambda _, error: told.append(str(error)))
    monkeypatch.setattr(OperatorLog, "sweep_failed", lambda _, error: told.append(f"sweep: {error}"))
    monkeypatch.setattr(Books, "sweep", counted)
    async with await Database.open(sqlite_url, create=True):
        pass
    async with open_desk(Settings(sqlite_url, sweep_seconds=0.01), Counter()):
        await asyncio.wait_for(enough.wait(), 10)
    assert told == ["no room for statistics"]
