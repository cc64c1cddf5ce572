"""A program that books at full speed is killed, again and again: what it was told is booked, is."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

from alikassa.errors import InsufficientFundsError
from alikassa.ledger.books import Books
from alikassa.ledger.database import Database
from crash_checks import check_books, check_verified, open_accounts
from crash_process import KILLS, seeded, start_writer
from crash_writer import command_of


async def _prepare(url: str) -> list[uuid.UUID]:
    async with await Database.open(url, create=True) as database:
        return await open_accounts(database, 4)


async def _check(url: str, acknowledged: list[str]) -> int:
    async with await Database.open(url) as database:
        return await check_books(database, acknowledged)


async def _ask_again(url: str, lines: list[str], known: set[str]) -> tuple[int, int]:
    """Gives the books each command once more: how many had been booked, and how many are now."""
    repeated = booked = 0
    async with await Database.open(url) as database:
        books = Books(database)
        results = await asyncio.gather(*(books.book(command_of(line)) for line in lines), return_exceptions=True)
        for line, result in zip(lines, results, strict=True):
            if isinstance(result, InsufficientFundsError):
                assert line not in known
            elif isinstance(result, BaseException):
                raise result
            else:
                assert result.repeated or line not in known
                repeated, booked = repeated + result.repeated, booked + (not result.repeated)
        again = await asyncio.gather(*(books.book(command_of(line)) for line in lines), return_exceptions=True)
        assert all(isinstance(one, InsufficientFundsError) or one.repeated for one in again)  # type: ignore[union-attr]
    return repeated, booked


def test_what_was_acknowledged_survives_a_kill(database_url: str, tmp_path: Path) -> None:
    """After each SIGKILL every acknowledged command has its entry, whole; none is half there; asking again is safe."""
    chance, file = seeded(), tmp_path / "told"
    accounts = asyncio.run(_prepare(database_url))
    for run in range(KILLS):
        writing = start_writer(database_url, file, f"run{run}", accounts)
        try:
            file.touch()
            writing.wait_for_more()
            time.sleep(chance.uniform(0, 0.4))
        finally:
            writing.kill()
        acknowledged = writing.said("acknowledged")
        open_ends = sorted(set(writing.said("asked")) - set(acknowledged) - set(writing.said("refused")))
        assert open_ends, "it was killed while it waited for answers"
        asyncio.run(_check(database_url, acknowledged))
        # Half of what is not known is asked again, half is left as the kill left it.
        asked = open_ends[::2] + chance.sample(acknowledged, min(20, len(acknowledged)))
        asyncio.run(_ask_again(database_url, asked, set(acknowledged)))
    asyncio.run(_finish(database_url, writing.said("acknowledged")))


async def _finish(url: str, acknowledged: list[str]) -> None:
    async with await Database.open(url) as database:
        assert await check_books(database, acknowledged) >= len(acknowledged)
        await check_verified(database)
