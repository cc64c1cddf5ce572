"""The queue before the books: jobs wait, one writer takes whatever waits, decides it and commits it once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from alikassa.errors import (
    AlikassaError,
    DatabaseConflictError,
    DatabaseError,
    DatabaseUnavailableError,
    OverloadedError,
)
from alikassa.ledger.asking import ASKING
from alikassa.ledger.attempts import Kept, Key, find_answers, keep_answers
from alikassa.ledger.batch import Decided, Job, decide
from alikassa.ledger.counts import LOOKING_ON
from alikassa.ledger.loading import Policies, load, lock_accounts
from alikassa.ledger.needs import is_alone, needs_of
from alikassa.ledger.writing import write

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from alikassa.clock import Clock
    from alikassa.ledger.counts import BookCounts
    from alikassa.ledger.database import Database
    from alikassa.ledger.writer import Writer

__all__ = ["MOST_TOGETHER", "MOST_WAITING", "WriterQueue"]

#: Commands that one commit books at most, and jobs that may wait for one.
MOST_TOGETHER = 256
MOST_WAITING = 20_000
#: How long a batch that was not booked counts as news of the database.
TROUBLE_SECONDS = 10.0
#: How often a batch is tried again that another process's transaction has crossed.
_TRIES = 12


class WriterQueue:
    """Books in the order of asking. `policies` are known ones, shared with other queues, as `connection` may be and
    `counts` are."""

    def __init__(
        self, database: Database, now: Clock | None, policies: Policies, connection: Writer, counts: BookCounts
    ) -> None:
        self._counts = counts
        self._database = database
        self._connection = connection
        self._now = now
        self._policies = policies
        self._waiting: deque[Job] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._committing = False
        self._trouble: tuple[float, DatabaseError] | None = None

    @property
    def trouble(self) -> DatabaseError | None:
        """What kept the last batch from being booked, unless that is long ago: it may have passed unnoticed since."""
        if self._trouble is None or time.monotonic() - self._trouble[0] > TROUBLE_SECONDS:
            return None
        return self._trouble[1]

    @property
    def waiting(self) -> int:
        """Jobs that no batch has taken yet."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """The job's future tells when it is committed. OverloadedError when too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            error = OverloadedError(
                "Too many commands wait to be booked.", remedy="Nothing was booked. Try again soon."
            )
            self._counts.turned_away(job.kinds(), error)
            raise error
        self._waiting.append(job)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        # Whoever is ready to ask in this turn of the loop comes into the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            jobs = self._take()
            try:
                decided = await self._book(jobs)
            except Exception as error:  # a defect too: whoever waits must be told all the same
                if isinstance(error, DatabaseError):
                    self._trouble = (time.monotonic(), error)
                self._counts.failed(chain.from_iterable(job.kinds() for job in jobs), error)
                _tell(jobs, error)
                continue
            except BaseException:
                for job in jobs:
                    job.future.cancel()
                raise
            self._trouble = None
            self._defer(decided.deferred)
            for job, outcome in decided.outcomes:
                if isinstance(outcome, AlikassaError):
                    _tell([job], outcome)
                elif not job.future.done():
                    job.future.set_result(outcome)

    def _take(self) -> list[Job]:
        """The next batch, in the order of asking."""
        jobs: list[Job] = []
        count = 0
        touched: set[uuid.UUID] = set()
        alone: set[uuid.UUID] = set()
        while self._waiting:
            job = self._waiting[0]
            accounts = set(job.touched())
            lonely = any(is_alone(command) for command in job.commands)
            if jobs and (
                count + len(job.commands) > MOST_TOGETHER or accounts & alone or (lonely and accounts & touched)
            ):
                break
            jobs.append(self._waiting.popleft())
            count += len(job.commands) or 1
            touched |= accounts
            if lonely:
                alone |= accounts
        # What is done now is done for these, and not for whoever happened to wake the writer.
        ASKING.set(tuple(dict.fromkeys(asker for job in jobs for asker in job.askers)))
        for watch in self._counts.watches:
            with LOOKING_ON:
                watch.taken(jobs)
        return jobs

    def _defer(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.added = time.monotonic()
        self._waiting.extendleft(reversed(jobs))

    async def _book(self, jobs: Sequence[Job]) -> Decided:
        for tries in range(1, _TRIES + 1):
            try:
                return await self._try(jobs)
            except DatabaseUnavailableError as error:
                # A connection that was lost while it was kept is tried once more; not after a commit was sent.
                lost = tries == 1 and self._database.is_postgresql and not self._committing
                if tries == _TRIES or not (lost or isinstance(error, DatabaseConflictError)):
                    raise
                self._counts.again += 1
                await asyncio.sleep(random.uniform(0, 0.002 * 2**tries))  # noqa: S311 - spreads tries, hides nothing
        raise AssertionError

    async def _try(self, jobs: Sequence[Job]) -> Decided:
        begun = time.monotonic()
        # When each step ended: locking, loading, deciding, writing, committing.
        marks: list[float] = []
        try:
            decided = await self._steps(jobs, begun, marks)
        except BaseException as error:
            self._tell_watches(jobs, begun, marks, error)
            raise
        self._tell_watches(jobs, begun, marks, None)
        return decided

    def _tell_watches(
        self, jobs: Sequence[Job], begun: float, marks: Sequence[float], error: BaseException | None
    ) -> None:
        for watch in self._counts.watches:
            with LOOKING_ON:
                watch.batch(jobs, begun, marks, error)

    async def _steps(self, jobs: Sequence[Job], begun: float, marks: list[float]) -> Decided:
        needs = needs_of(command for job in jobs for command in job.commands)
        attempts = [job.attempt for job in jobs if job.attempt is not None]
        self._committing = False
        async with self._connection.transaction() as connection:
            found, now = await lock_accounts(connection, {account for job in jobs for account in job.touched()})
            marks.append(time.monotonic())
            if self._now is not None:
                now = self._now()
            sheets = await load(connection, found, needs, now, self._policies)
            answers: dict[Key, Kept] = await find_answers(connection, attempts) if attempts else {}
            marks.append(time.monotonic())
            decided = decide(jobs, sheets, answers, now)
            marks.append(time.monotonic())
            await write(connection, sheets.values())
            await keep_answers(connection, decided.answers, answers, now)
            self._committing = True
            committing = time.monotonic()
            marks.append(committing)
        marks.append(time.monotonic())
        self._counts.committed(
            decided.told, (entry for sheet in sheets.values() for entry in sheet.new_entries), begun, committing
        )
        return decided


def _tell(jobs: Sequence[Job], error: Exception) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
