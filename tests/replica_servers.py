"""A primary with books and a server that follows it, for tests of replicas: `tools/standby_servers.py` makes both."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent.parent / "tools"))

from standby_servers import Node, make_first, make_second

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Pair", "make_pair", "wait_until"]


@dataclass
class Pair:
    """The primary and the replica, each with the database `books`."""

    primary: Node
    replica: Node

    @property
    def url(self) -> str:
        return url_of(self.primary)

    @property
    def replica_url(self) -> str:
        return url_of(self.replica)

    async def pause(self) -> None:
        """From now on the replica is told everything and takes over nothing."""
        await self.replica.ask("postgres", "SELECT pg_wal_replay_pause()")
        await wait_until(self._is_paused)

    async def _is_paused(self) -> bool:
        found: list[Any] = await self.replica.ask("postgres", "SELECT pg_get_wal_replay_pause_state() AS state")
        return bool(found[0]["state"] == "paused")

    async def resume(self) -> None:
        await self.replica.ask("postgres", "SELECT pg_wal_replay_resume()")

    async def kill_replica(self) -> None:
        self.replica.kill(*await self.replica.processes())

    async def start_replica(self) -> None:
        if self.replica.process is None:
            (self.replica.data / "postmaster.pid").unlink(missing_ok=True)
            await self.replica.start()

    def end(self) -> None:
        for node in (self.replica, self.primary):
            node.kill()


def url_of(node: Node, database: str = "books") -> str:
    return f"postgresql://postgres@/{database}?host={node.sockets}&port={node.port}"


async def make_pair(folder: Path) -> Pair:
    primary = await make_first(folder)
    try:
        await primary.ask("postgres", "CREATE DATABASE books")
        return Pair(primary, await make_second(primary, synchronous=False))
    except BaseException:
        primary.kill()
        raise


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)
