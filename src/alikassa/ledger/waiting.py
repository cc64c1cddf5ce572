"""Requests that wait for a joined read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from alikassa.ledger.counts import name_of
from alikassa.ledger.ids import LANES
from alikassa.ledger.reader import MOST_JOINED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from alikassa.ledger.counts import ReadCounts
    from alikassa.ledger.reader import Standing

__all__ = ["LANE_OF_ENDING", "Joined", "Waiting"]

#: The lane of an account by the last two digits of its uuid's text: as `lane_of`, without reading the rest.
LANE_OF_ENDING = {f"{byte:02x}": byte % LANES for byte in range(256)}


class Joined:
    """Some accounts that are read together, and who waits for each."""

    __slots__ = ("_begun", "_counts", "_waiters", "accounts")

    def __init__(self, waiters: list[tuple[str, asyncio.Future[Standing | None]]], counts: ReadCounts) -> None:
        self._waiters = waiters
        self._counts = counts
        self._begun = time.monotonic()
        self.accounts = list(dict.fromkeys([account for account, _ in waiters]))

    def give(self, found: Mapping[str, Standing]) -> None:
        """Everybody their account, None where there is no such."""
        self._count()
        for account, future in self._waiters:
            if not future.done():
                future.set_result(found.get(account))

    def fail(self, error: Exception) -> None:
        """Everybody this error."""
        self._count()
        self._counts.failures[name_of(error)] += 1
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)

    def _count(self) -> None:
        self._counts.sizes.add(len(self._waiters))
        self._counts.seconds.add_seconds(time.monotonic() - self._begun)

    def cancel(self) -> None:
        """The read will not take place."""
        for _, future in self._waiters:
            future.cancel()


class Waiting:
    """Who the next reads are for; the reads are counted."""

    __slots__ = ("_counts", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, counts: ReadCounts) -> None:
        self._loop = loop
        self._counts = counts
        self._waiters: list[tuple[str, asyncio.Future[Standing | None]]] = []

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, account: str) -> asyncio.Future[Standing | None]:
        future: asyncio.Future[Standing | None] = self._loop.create_future()
        self._waiters.append((account, future))
        return future

    def take(self) -> Joined:
        """The first of them, at most `MOST_JOINED`."""
        taken, self._waiters = self._waiters[:MOST_JOINED], self._waiters[MOST_JOINED:]
        return Joined(taken, self._counts)
