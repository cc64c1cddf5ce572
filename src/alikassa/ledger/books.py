"""Booking: commands join a queue, one writer takes whatever waits, decides it and commits it once.

Nothing is acknowledged before it is committed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from alikassa import clock
from alikassa.errors import AlikassaError, InvariantError
from alikassa.ledger import rules
from alikassa.ledger.asking import ASKING
from alikassa.ledger.attempts import Answer, Attempt, forget_answers
from alikassa.ledger.batch import Job
from alikassa.ledger.counts import BookCounts
from alikassa.ledger.due import due_accounts
from alikassa.ledger.ids import LANES, lane_of
from alikassa.ledger.queue import WriterQueue

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator, Sequence

    from alikassa.clock import Clock
    from alikassa.errors import DatabaseError
    from alikassa.ledger.commands import Command
    from alikassa.ledger.database import Database
    from alikassa.ledger.loading import Policies
    from alikassa.ledger.model import Booked

__all__ = ["Books"]

#: Writers of one process on PostgreSQL, each with its share of the lanes: while the database works for one, the rules
#: work for another. SQLite has one write lock.
_WRITERS = 2
#: The same where tables are spread over nodes: the lanes share so many, each of them busy with one lane at a time.
_WRITERS_BY_LANE = 8
_SWEPT_TOGETHER = 200


class Books:
    """The journal of one database, for one event loop.

    `now` stands in for the database's own clock, which else says what is due: in tests and in the sandbox.
    """

    def __init__(self, database: Database, now: Clock | None = None) -> None:
        self._database = database
        self._now = now
        self._policies: Policies = {}
        self.counts = BookCounts()
        self._by_lane = False
        # Of books that are spread: the lane whose old answers were forgotten last.
        self._forgotten: int | None = None
        self._writers = [database.writer() for _ in range(_WRITERS if database.is_postgresql else 1)]
        self._queues = [WriterQueue(database, now, self._policies, one, self.counts) for one in self._writers]

    @property
    def waiting(self) -> int:
        """Jobs that wait to be booked."""
        return sum(queue.waiting for queue in self._queues)

    @property
    def trouble(self) -> DatabaseError | None:
        """What keeps commands from being booked at this time, as far as is known."""
        return next((queue.trouble for queue in self._queues if queue.trouble is not None), None)

    async def book(self, command: Command) -> Booked:
        """Book one command, and return when it is committed.

        A reference is claimed for ever by success only: the same command again gives the entry it made, the same
        reference with other content is a ConflictError, and a refusal (see `rules`) leaves it free. After a
        DatabaseUnavailableError it is not known whether it was booked: repeat the same command.
        """
        (outcome,) = await self.book_together([command])
        return outcome

    async def book_together(self, commands: Sequence[Command]) -> list[Booked]:
        """Book all of these in one transaction, or none of them: then the first refusal is raised."""
        for command in commands:
            rules.check(command)
        outcomes = await self._add(commands)
        if isinstance(outcomes, Answer):
            raise InvariantError("A job without a key was answered as an attempt.")
        booked: list[Booked] = []
        for outcome in outcomes:
            if isinstance(outcome, AlikassaError):
                raise outcome
            booked.append(outcome)
        return booked

    async def attempt(self, command: Command, attempt: Attempt) -> Answer:
        """Book one command under a caller's key: the answer, made once and then given again."""
        rules.check(command)
        answer = await self._add([command], attempt=attempt)
        if not isinstance(answer, Answer):
            raise InvariantError("An attempt was not answered as one.")
        return answer

    async def sweep(self) -> int:
        """Release what is due by now everywhere, and forget old answers; how many accounts had something due.

        Housekeeping: whoever reads or books sees due money released, swept or not.
        """
        swept = 0
        while found := await due_accounts(self._database, self._now, most=_SWEPT_TOGETHER):
            for together in self._on_one_node(found):
                await self._add([], accounts=together)
            swept += len(found)
        for lane in self._lanes_to_forget():
            async with self._database.write() as connection:
                await forget_answers(connection, self._now() if self._now else clock.now(), lane)
        return swept

    def _lanes_to_forget(self) -> Iterator[int | None]:
        """The lanes that this sweep looks through for old answers, each on one node; None for all of them at once.

        The first sweep takes all, and may be the only one. Later ones take one each, in turn: an answer is there for
        `LANES` sweeps longer than it need be.
        """
        # The search for what is due has found it out.
        if not self._database.is_spread:
            yield None
            return
        for _ in range(LANES if self._forgotten is None else 1):
            # Before it is tried: one that fails must not keep the others from their turn.
            self._forgotten = 0 if self._forgotten is None else (self._forgotten + 1) % LANES
            yield self._forgotten

    def _add(
        self, commands: Sequence[Command], *, attempt: Attempt | None = None, accounts: Sequence[uuid.UUID] = ()
    ) -> asyncio.Future[list[Booked | AlikassaError] | Answer]:
        future = asyncio.get_running_loop().create_future()
        job = Job(commands, future, attempt, accounts, ASKING.get(), time.monotonic())
        # All commands of an account wait in one queue. A job of several accounts waits where its first one does: rows
        # are locked in one order, so that writers never lock each other out.
        account = next(iter(job.touched()))
        if not self._by_lane and any(one.by_lane for one in self._writers):
            self._part_by_lane()
        self._queues[lane_of(account) % len(self._queues)].add(job)
        return job.future

    def _part_by_lane(self) -> None:
        """A queue a lane, once it is known that tables are spread over nodes: a transaction is on one node then.

        Only a job whose accounts are of several lanes spans nodes; the engine commits it on all of them or on none.
        """
        self._by_lane = True
        more = _WRITERS_BY_LANE - len(self._writers)
        self._writers += [self._database.writer() for _ in range(more)]
        self._queues = [
            WriterQueue(self._database, self._now, self._policies, self._writers[lane % _WRITERS_BY_LANE], self.counts)
            for lane in range(LANES)
        ]

    def _on_one_node(self, accounts: Sequence[uuid.UUID]) -> list[list[uuid.UUID]]:
        """These accounts, as far as one transaction should have them."""
        if not self._by_lane:
            return [list(accounts)]
        lanes: dict[int, list[uuid.UUID]] = {}
        for account in accounts:
            lanes.setdefault(lane_of(account), []).append(account)
        return list(lanes.values())
