"""Requests that wait for a joined read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger.counts import LOOKING_ON, name_of
from alikassa.ledger.ids import LANES
from alikassa.ledger.reader import MOST_JOINED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from alikassa.ledger.asking import Asker
    from alikassa.ledger.counts import ReadCounts
    from alikassa.ledger.reader import Standing

__all__ = ["LANE_OF_ENDING", "MOST_SECONDS", "MOST_WAITING", "Joined", "Waiting"]

#: How many may wait for a read, and how long the first of them may have waited when another one comes. Whoever comes
#: past either is told at once: while the database is slow, waiting would only make everybody late.
MOST_WAITING = 8192
MOST_SECONDS = 1.0

# An account, who waits for it, since when by the monotonic clock, and for which request if that is known.
Waiter = tuple[str, "asyncio.Future[Standing | None]", float, "Asker | None"]

#: The lane of an account by the last two digits of its uuid's text: as `lane_of`, without reading the rest.
LANE_OF_ENDING = {f"{byte:02x}": byte % LANES for byte in range(256)}


class Joined:
    """Some accounts that are read together, and who waits for each."""

    __slots__ = ("_begun", "_counts", "_waiters", "accounts")

    def __init__(self, waiters: list[Waiter], counts: ReadCounts, now: float) -> None:
        self._waiters = waiters
        self._counts = counts
        self._begun = now
        self.accounts = list(dict.fromkeys([account for account, _, _, _ in waiters]))

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def give(self, found: Mapping[str, Standing]) -> None:
        """Everybody their account, None where there is no such."""
        self._counts.served(len(self._waiters), time.monotonic() - self._begun)
        for account, future, _, _ in self._waiters:
            if not future.done():
                future.set_result(found.get(account))
        if self._counts.watches:
            self._tell(len(found), None)

    def fail(self, error: Exception) -> None:
        """Everybody this error."""
        self._counts.served(len(self._waiters), time.monotonic() - self._begun)
        self._counts.failures[name_of(error)] += 1
        for _, future, _, _ in self._waiters:
            if not future.done():
                future.set_exception(error)
        if self._counts.watches:
            self._tell(None, error)

    def _tell(self, rows: int | None, error: Exception | None) -> None:
        askers = [asker for _, _, _, asker in self._waiters if asker is not None]
        for watch in self._counts.watches:
            with LOOKING_ON:
                watch.ended(askers, self._begun, rows, error)

    def cancel(self) -> None:
        """The read will not take place."""
        for _, future, _, _ in self._waiters:
            future.cancel()


class Waiting:
    """Who the next reads are for, the first that came first; the reads are counted."""

    __slots__ = ("_counts", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, counts: ReadCounts) -> None:
        self._loop = loop
        self._counts = counts
        self._waiters: list[Waiter] = []

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, account: str, asker: Asker | None = None) -> asyncio.Future[Standing | None]:
        """The future has a DatabaseUnavailableError at once when there is no more room."""
        future: asyncio.Future[Standing | None] = self._loop.create_future()
        now = time.monotonic()
        waiters = self._waiters
        if waiters and (len(waiters) >= MOST_WAITING or now - waiters[0][2] > MOST_SECONDS):
            self._turn_away(future)
        else:
            waiters.append((account, future, now, asker))
        return future

    def take(self) -> Joined:
        """The first of them, at most `MOST_JOINED`. Those who have waited too long are told, and not among them."""
        now = time.monotonic()
        late = 0
        for _, future, at, _ in self._waiters:
            if now - at <= MOST_SECONDS:
                break
            late += 1
            if not future.done():
                self._turn_away(future)
        end = late + MOST_JOINED
        taken, self._waiters = self._waiters[late:end], self._waiters[end:]
        return Joined(taken, self._counts, now)

    def _turn_away(self, future: asyncio.Future[Standing | None]) -> None:
        self._counts.turned_away += 1
        future.set_exception(DatabaseUnavailableError("Too many requests wait for the database."))
