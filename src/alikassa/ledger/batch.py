"""Deciding a batch of jobs on loaded sheets, one after the other. In memory: what it leaves is then written."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import AlikassaError, InvariantError, NotFoundError, PayoutStateError
from alikassa.ledger import rules
from alikassa.ledger.asking import Asker
from alikassa.ledger.attempts import Answer, Attempt, Kept
from alikassa.ledger.commands import Command
from alikassa.ledger.counts import Told, name_of, told_of
from alikassa.ledger.model import Booked, JournalEntry, Kind, PayoutState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from alikassa.ledger.sheet import Sheet

__all__ = ["Decided", "Job", "decide"]

Outcome = Booked | AlikassaError


class Job(msgspec.Struct, eq=False):
    """Commands that are booked together or not at all, mostly one; with none, what is due of `accounts` is released.

    The future's result is the outcome of each command, or the answer when the job is an attempt. `askers` are the
    requests that it is for; it was `added` to the queue then, by the monotonic clock.
    """

    commands: Sequence[Command]
    future: asyncio.Future[list[Outcome] | Answer]
    attempt: Attempt | None = None
    accounts: Sequence[uuid.UUID] = ()
    askers: Sequence[Asker] = ()
    added: float = 0.0

    def touched(self) -> Iterable[uuid.UUID]:
        yield from self.accounts
        for command in self.commands:
            yield command.named[0]

    def kinds(self) -> Iterable[Kind]:
        return (command.named[1] for command in self.commands)


class Decided(msgspec.Struct):
    """What came of the jobs of a batch; `deferred` ones wait until what is due of their accounts is released.

    `told` is the same for the counts, command by command.
    """

    outcomes: list[tuple[Job, list[Outcome] | Answer | AlikassaError]] = []
    answers: list[tuple[Attempt, Answer]] = []
    deferred: list[Job] = []
    told: list[Told] = []


def decide(
    jobs: Sequence[Job],
    sheets: dict[uuid.UUID, Sheet],
    answers: dict[tuple[int, uuid.UUID, str], Kept],
    now: datetime,
) -> Decided:
    """Moves the sheets on. First what is due is released, so that what a balance shows can be spent."""
    decided = Decided()
    given: dict[tuple[int, uuid.UUID, str], Kept] = dict(answers)
    for sheet in sheets.values():
        _release(sheet, now)
    for job in jobs:
        if any(account in sheets and sheets[account].more_due for account in job.touched()):
            decided.deferred.append(job)
            continue
        try:
            answer = _again(job, given, now)
        except AlikassaError as error:
            decided.told += [(kind, name_of(error)) for kind in job.kinds()]
            decided.outcomes.append((job, error))
            continue
        if answer is not None:
            decided.told += [(kind, "replayed") for kind in job.kinds()]
            decided.outcomes.append((job, answer))
            continue
        outcomes = _decide_all(job.commands, sheets, now)
        decided.told += told_of(job.kinds(), outcomes)
        if job.attempt is None:
            decided.outcomes.append((job, outcomes))
            continue
        if isinstance(outcomes[0], InvariantError):
            # A defect is no answer to be given again.
            decided.outcomes.append((job, outcomes[0]))
            continue
        answer = job.attempt.render(outcomes[0])
        decided.answers.append((job.attempt, answer))
        given[_key(job.attempt)] = Kept(job.attempt.request, answer, now)
        decided.outcomes.append((job, answer))
    return decided


def _key(attempt: Attempt) -> tuple[int, uuid.UUID, str]:
    return attempt.lane, attempt.token, attempt.key


def _again(job: Job, given: dict[tuple[int, uuid.UUID, str], Kept], now: datetime) -> Answer | None:
    kept = None if job.attempt is None else given.get(_key(job.attempt))
    return None if kept is None or job.attempt is None else kept.again(job.attempt, now)


def _decide_all(commands: Sequence[Command], sheets: dict[uuid.UUID, Sheet], now: datetime) -> list[Outcome]:
    """Each command's outcome. Of several, a refused one leaves all of them undone."""
    if len(commands) == 1:
        return [_decide(commands[0], sheets, now)]
    tried = {account: sheets[account].copy() for command in commands if (account := command.named[0]) in sheets}
    outcomes = [_decide(command, tried, now) for command in commands]
    if all(isinstance(outcome, Booked) for outcome in outcomes):
        sheets.update(tried)
    return outcomes


def _decide(command: Command, sheets: dict[uuid.UUID, Sheet], now: datetime) -> Outcome:
    account, kind, reference = command.named
    sheet = sheets.get(account)
    if sheet is None:
        return NotFoundError(f"There is no account {account}.", remedy="List them: alikassa account list")
    try:
        _release(sheet, now)
        entry = rules.earlier(command, sheet)
        if entry is not None:
            return Booked(entry, sheet.answered(now), repeated=True)
        draft = rules.decide(command, sheet, now)
        if isinstance(draft, JournalEntry):
            return Booked(draft, sheet.answered(now), repeated=True)
        entry = sheet.book(
            draft,
            kind=kind,
            reference=reference,
            now=now,
            reason=getattr(command, "reason", ""),
            metadata=_json(command.metadata) if command.metadata else "{}",
            content=command.content,
        )
    except PayoutStateError as error:
        if kind is not Kind.PAYOUT_CORRECTED and error.state != PayoutState.PENDING:
            sheet.contradict(error.payout, PayoutState(error.state), PayoutState(error.claimed), now)
        return error
    except AlikassaError as error:
        return error
    return Booked(entry, sheet.answered(now), repeated=False)


def _release(sheet: Sheet, now: datetime) -> None:
    next_due_at = sheet.account.next_due_at
    if next_due_at is None or next_due_at > now:
        return
    for draft in rules.releases(sheet, now):
        # A release is named by its own number: nobody else claims it.
        sheet.book(draft, kind=Kind.RELEASE, reference=f"release-{draft.sequence}", now=now)
    sheet.refresh_due()


def _json(metadata: dict[str, str]) -> str:
    return json.dumps(metadata, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
