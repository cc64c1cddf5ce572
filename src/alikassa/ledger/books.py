"""Booking: commands join a queue, one writer takes whatever waits, decides it and commits it once.

Nothing is acknowledged before it is committed.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from alikassa import clock
from alikassa.errors import (
    AlikassaError,
    DatabaseConflictError,
    DatabaseUnavailableError,
    InvariantError,
    OverloadedError,
)
from alikassa.ledger import rules
from alikassa.ledger.attempts import Answer, Attempt, Kept, Key, find_answers, forget_answers, keep_answers
from alikassa.ledger.batch import Decided, Job, decide
from alikassa.ledger.due import due_accounts
from alikassa.ledger.loading import Policies, load, lock_accounts
from alikassa.ledger.needs import is_alone, needs_of
from alikassa.ledger.writing import write

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from alikassa.clock import Clock
    from alikassa.ledger.commands import Command
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Booked

__all__ = ["MOST_TOGETHER", "MOST_WAITING", "Books"]

#: Commands that one commit books at most, and jobs that may wait for one.
MOST_TOGETHER = 256
MOST_WAITING = 20_000
#: How often a batch is tried again that another process's transaction has crossed.
_TRIES = 12
_SWEPT_TOGETHER = 200


class Books:
    """The journal of one database, for one event loop.

    `now` stands in for the database's own clock, which else says what is due: in tests and in the sandbox.
    """

    def __init__(self, database: Database, now: Clock | None = None) -> None:
        self._database = database
        self._now = now
        self._waiting: deque[Job] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._policies: Policies = {}
        self._committing = False

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
            await self._add([], accounts=found)
            swept += len(found)
        async with self._database.write() as connection:
            await forget_answers(connection, self._now() if self._now else clock.now())
        return swept

    def _add(
        self, commands: Sequence[Command], *, attempt: Attempt | None = None, accounts: Sequence[uuid.UUID] = ()
    ) -> asyncio.Future[list[Booked | AlikassaError] | Answer]:
        if len(self._waiting) >= MOST_WAITING:
            raise OverloadedError("Too many commands wait to be booked.", remedy="Nothing was booked. Try again soon.")
        loop = asyncio.get_running_loop()
        job = Job(commands, loop.create_future(), attempt, accounts)
        self._waiting.append(job)
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write())
        return job.future

    async def _write(self) -> None:
        # Whoever is ready to ask in this turn of the loop comes into the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            jobs = self._take()
            try:
                decided = await self._book(jobs)
            except AlikassaError as error:
                _tell(jobs, error)
                continue
            except Exception as error:  # a defect: whoever waits must be told all the same
                _tell(jobs, error)
                raise
            except BaseException:
                for job in jobs:
                    job.future.cancel()
                raise
            self._waiting.extendleft(reversed(decided.deferred))
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
        return jobs

    async def _book(self, jobs: Sequence[Job]) -> Decided:
        for tries in range(1, _TRIES + 1):
            try:
                return await self._try(jobs)
            except DatabaseUnavailableError as error:
                # A connection that was lost while it was kept is tried once more; not after a commit was sent.
                lost = tries == 1 and self._database.is_postgresql and not self._committing
                if tries == _TRIES or not (lost or isinstance(error, DatabaseConflictError)):
                    raise
                await asyncio.sleep(random.uniform(0, 0.002 * 2**tries))  # noqa: S311 - spreads tries, hides nothing
        raise AssertionError

    async def _try(self, jobs: Sequence[Job]) -> Decided:
        needs = needs_of(command for job in jobs for command in job.commands)
        attempts = [job.attempt for job in jobs if job.attempt is not None]
        self._committing = False
        async with self._database.writing() as connection:
            found, now = await lock_accounts(connection, {account for job in jobs for account in job.touched()})
            if self._now is not None:
                now = self._now()
            sheets = await load(connection, found, needs, now, self._policies)
            answers: dict[Key, Kept] = await find_answers(connection, attempts) if attempts else {}
            decided = decide(jobs, sheets, answers, now)
            await write(connection, sheets.values())
            await keep_answers(connection, decided.answers, answers, now)
            self._committing = True
        return decided


def _tell(jobs: Sequence[Job], error: Exception) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
