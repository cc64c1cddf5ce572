"""Writes what was gathered, once a second, beside the answers. A database that fails costs this log, nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from alikassa.errors import DatabaseError
from alikassa.server.requests.rows import prune, write_requests, write_uses

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.database import Database
    from alikassa.server.log import RequestLog
    from alikassa.server.requests.recorder import Gathered, Recorder, Use
    from alikassa.server.requests.rows import Ring

__all__ = ["RequestWriter"]

#: The pause between two writes, in seconds.
PAUSE_SECONDS = 1.0
#: How often the use of a certificate with a digest is written, in seconds.
USE_SECONDS = 60.0
#: How long a stop waits for what is still to be written, in seconds.
_CLOSE_SECONDS = 8.0
# A ring may exceed its bound by this part of it, for each worker, before it is pruned.
_SLACK = 20
# A database that stays away is told of once in so many seconds.
_TELL_SECONDS = 10.0
_MOST_REMEMBERED = 40_000
# Rows of one transaction: whoever books waits for its lock.
_MOST_TOGETHER = 500


class RequestWriter:
    """For one worker. `start` it in its event loop, and `close` it before its database."""

    def __init__(self, database: Database, recorder: Recorder, log: RequestLog) -> None:
        self._writer = database.writer()
        self._recorder = recorder
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        # How many rows were written to a ring since it was pruned.
        self._unpruned: dict[Ring, int] = {}
        # Uses that are not written yet, and when others were.
        self._uses: dict[Use, datetime] = {}
        self._used: dict[Use, float] = {}
        self._told = float("-inf")
        self._problem = ""

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Write what is left, unless that takes too long."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._tell(now=True)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)
            except TimeoutError:
                await self.flush()
        if not self._problem:
            await self.flush(everything=True)

    async def flush(self, *, everything: bool = False) -> None:
        """Write what was gathered; also what could still wait, if `everything` goes. Raises nothing."""
        gathered = self._recorder.take(everything=everything)
        self._uses.update(gathered.uses)
        uses = self._due(everything=everything)
        if gathered.rows or uses:
            try:
                await self._write(gathered, uses)
                self._problem = ""
            except Exception as error:
                self._recorder.lost += sum(1 + row.others for row in gathered.rows)
                self._recorder.give_back(gathered.counted)
                self._problem = str(error) if isinstance(error, DatabaseError) else type(error).__name__
                if not isinstance(error, DatabaseError):  # a defect here must not end the log, or the worker
                    self._log.failed()
        self._tell()

    def _due(self, *, everything: bool) -> dict[Use, datetime]:
        """The uses to be written: each at once when it is new, then at most once a minute."""
        if len(self._used) + len(self._uses) > _MOST_REMEMBERED:
            self._used.clear()
        before = float("inf") if everything else time.monotonic() - USE_SECONDS
        return {use: at for use, at in self._uses.items() if self._used.get(use, float("-inf")) <= before}

    async def _write(self, gathered: Gathered, uses: dict[Use, datetime]) -> None:
        """What is written is taken out of what was gathered, part by part."""
        while gathered.rows or uses:
            part = gathered.rows[:_MOST_TOGETHER]
            async with self._writer.transaction() as connection:
                rings, left = await write_requests(connection, part, gathered.counted)
                full = [ring for ring, count in rings.items() if self._is_full(ring, count)]
                await prune(connection, full)
                await write_uses(connection, uses)
            del gathered.rows[: len(part)]
            gathered.counted.clear()
            gathered.counted.update(left)
            self._count_rows(rings, full)
            for use in uses:
                self._used[use] = time.monotonic()
                del self._uses[use]
            uses = {}
        self._recorder.give_back(gathered.counted)

    def _count_rows(self, rings: dict[Ring, int], pruned: list[Ring]) -> None:
        if len(self._unpruned) > _MOST_REMEMBERED:
            self._unpruned.clear()
        for ring, count in rings.items():
            self._unpruned[ring] = self._unpruned.get(ring, 0) + count
        for ring in pruned:
            self._unpruned[ring] = 0

    def _is_full(self, ring: Ring, count: int) -> bool:
        """Whether it may have more than it should by now. One that was not met before may."""
        before = self._unpruned.get(ring)
        return before is None or before + count > ring.most // _SLACK

    def _tell(self, *, now: bool = False) -> None:
        if self._recorder.lost and (now or time.monotonic() - self._told >= _TELL_SECONDS):
            self._log.requests_lost(self._recorder.lost, self._problem)
            self._recorder.counts.lost += self._recorder.lost
            self._recorder.lost = 0
            self._told = time.monotonic()
