"""Writes what was gathered, once a second, beside the answers. A database that fails costs this log, nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.ledger.ids import LANES
from alikassa.server.requests.rows import (
    MOST_OTHERS,
    MOST_VERIFIED,
    Part,
    find_accounts,
    make_ready,
    part_by_lane,
    prune,
    write_uses,
)

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
# Where each lane has a transaction of its own: after so many seconds no other lane is begun.
_LANES_SECONDS = 10.0


class RequestWriter:
    """For one worker. `start` it in its event loop, and `close` it before its database."""

    def __init__(self, database: Database, recorder: Recorder, log: RequestLog) -> None:
        self._writer = database.writer()
        self._postgresql = database.is_postgresql
        self._recorder = recorder
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        # How many rows were written to a ring since it was pruned here.
        self._unpruned: dict[Ring, int] = {}
        # Uses that are not written yet, and when others were.
        self._uses: dict[Use, datetime] = {}
        self._used: dict[Use, float] = {}
        self._told = float("-inf")
        self._problem = ""
        # Lanes that could not be written the last time, and the one whose turn is first.
        self._failed_lanes: set[int] = set()
        self._first_lane = 0

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
        """What is written is taken out of what was gathered."""
        if await self._writer.find_by_lane():
            await self._write_by_lane(gathered, uses)
        else:
            await self._write_part(Part(gathered.rows, gathered.counted), uses)

    async def _write_by_lane(self, gathered: Gathered, uses: dict[Use, datetime]) -> None:
        """Each lane in transactions of its own, so on one node. One that fails costs its own rows.

        Lanes that failed the last time come last: a node that says nothing holds up nobody else's rows.
        """
        lanes, nobodys = part_by_lane(gathered.rows, gathered.counted)
        gathered.rows.clear()
        gathered.counted.clear()
        until = time.monotonic() + _LANES_SECONDS
        problem: DatabaseError | None = None
        try:
            for lane in sorted(lanes, key=self._turn):
                if time.monotonic() > until:
                    self._first_lane = lane
                    problem = DatabaseUnavailableError("Writing it lane by lane took too long.")
                    break
                try:
                    await self._write_part(lanes[lane], {}, nobodys)
                    self._failed_lanes.discard(lane)
                except DatabaseError as error:
                    self._failed_lanes.add(lane)
                    problem = error
            if nobodys.rows:
                await self._write_part(nobodys, {})
            if uses:
                # A small table, which each node has a copy of.
                await self._write_part(Part([], {}), uses)
        finally:
            for left in (*lanes.values(), nobodys):
                gathered.rows.extend(left.rows)
                gathered.counted.update(left.counted)
        if problem is not None:
            raise problem
        self._recorder.give_back(gathered.counted)

    def _turn(self, lane: int) -> tuple[bool, int]:
        return lane in self._failed_lanes, (lane - self._first_lane) % LANES

    async def _write_part(self, part: Part, uses: dict[Use, datetime], strays: Part | None = None) -> None:
        """What is written is taken out of `part`, bit by bit. With `strays`, what is nobody's goes there instead."""
        while True:
            bit = Part(part.rows[:_MOST_TOGETHER], dict(part.counted))
            there = await self._find(bit.strangers())
            ready = await make_ready(bit if strays is None else bit.of(there), there, postgresql=self._postgresql)
            full = self._fullest(ready.rings)
            async with self._writer.transaction() as connection:
                await ready.insert(connection)
                await prune(connection, full)
                await write_uses(connection, uses)
            del part.rows[: len(bit.rows)]
            part.counted.clear()
            part.counted.update(ready.left)
            if strays is not None:
                strays.take_strays(bit, there)
            self._count_rows(ready.rings, full)
            for use in uses:
                self._used[use] = time.monotonic()
                del self._uses[use]
            uses = {}
            if not part.rows:
                break
        self._recorder.give_back(part.counted)
        part.counted.clear()

    async def _find(self, named: list[str]) -> set[str]:
        """Which there are, in a transaction of its own: what is then made of them takes a while."""
        if not named:
            return set()
        async with self._writer.transaction() as connection:
            return await find_accounts(connection, named)

    def _count_rows(self, rings: dict[Ring, int], pruned: list[Ring]) -> None:
        if len(self._unpruned) > _MOST_REMEMBERED:
            self._unpruned.clear()
        for ring, count in rings.items():
            if ring in self._unpruned:
                self._unpruned[ring] += count
        for ring in pruned:
            self._unpruned[ring] = 0

    def _fullest(self, rings: dict[Ring, int]) -> list[Ring]:
        """Those to be pruned now, as they may have more than they should: on average no more of them than are needed.

        After a start nobody knows what a ring has. Those that were never pruned here come bit by bit, each for as many
        rows as a ring's slack is, so that all of them together grow by no more than that until each had its turn.
        """
        rows = sum(rings.values())
        full = [
            (self._unpruned[ring] + count, ring)
            for ring, count in rings.items()
            if ring in self._unpruned and self._unpruned[ring] + count > ring.most // _SLACK
        ]
        unknown = [(count, ring) for ring, count in rings.items() if ring not in self._unpruned]
        return [
            *_largest(full, 1 + rows * _SLACK // MOST_OTHERS),
            *_largest(unknown, 1 + rows * _SLACK // MOST_VERIFIED),
        ]

    def _tell(self, *, now: bool = False) -> None:
        if self._recorder.lost and (now or time.monotonic() - self._told >= _TELL_SECONDS):
            self._log.requests_lost(self._recorder.lost, self._problem)
            self._recorder.counts.lost += self._recorder.lost
            self._recorder.lost = 0
            self._told = time.monotonic()


def _largest(counted: list[tuple[int, Ring]], most: int) -> list[Ring]:
    return [ring for _, ring in sorted(counted, reverse=True)[:most]]
