"""Idempotency-Key: a request is answered once, and a repetition of it is given the same answer for a day."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, TypeVar

import msgspec

from alikassa import clock
from alikassa.errors import AlikassaError
from alikassa.ledger.attempts import Answer, Attempt, find_answers, keep_answers
from alikassa.ledger.ids import LANES
from alikassa.ledger.model import Booked
from alikassa.ledger.registry import Registry
from alikassa.server.operator.answers import booked_answer
from alikassa.server.operator.refusals import RequestError, problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from alikassa.ledger.commands import Command
    from alikassa.server.operator.desk import Desk

__all__ = ["Once", "Reply", "book", "check_key", "register"]

Made = TypeVar("Made")

_KEY = re.compile(r"[ -~]{1,128}", re.ASCII)


class Reply(msgspec.Struct, frozen=True):
    """An answer. `replayed`: it had been given before, under the same key."""

    answer: Answer
    replayed: bool = False


class Once(msgspec.Struct, frozen=True):
    """One request under a key: whose, and the hash of what was asked."""

    token: uuid.UUID
    key: str
    request: bytes

    @classmethod
    def of(cls, token: uuid.UUID, key: str, method: str, target: str, body: bytes) -> Once:
        digest = hashlib.sha256(f"{method} {target}\n".encode())
        digest.update(body)
        return cls(token, key, digest.digest())

    def attempt(self, render: Callable[[Booked | Exception], Answer], part: int | None = None) -> Attempt:
        """The attempt; of a bulk's, the one that is its command number `part`."""
        # No caller's key has this sign in it.
        key = self.key if part is None else f"{self.key}·{part}"
        # By the key, not by the account: used for another account, it has to be found all the same.
        lane = hashlib.sha256(self.token.bytes + self.key.encode()).digest()[0] % LANES
        return Attempt(lane, self.token, key, self.request, render)


def check_key(values: list[str]) -> str | None:
    """The key, None when there is none. RequestError for one that cannot be kept."""
    if not values:
        return None
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        raise RequestError(
            400,
            "MalformedRequest",
            "The Idempotency-Key cannot be used.",
            remedy="Send one, of 1 to 128 printable ASCII characters.",
        )
    return values[0]


def _rendered(outcome: Booked | Exception) -> Answer:
    return booked_answer(outcome) if isinstance(outcome, Booked) else problem_of(outcome).answer


async def book(desk: Desk, command: Command, once: Once | None, part: int | None = None) -> Reply:
    """Book a command. Under a key, refusals by the books are answers too; else they are raised."""
    if once is None:
        return Reply(booked_answer(await desk.books.book(command)))
    made: list[Answer] = []

    def render(outcome: Booked | Exception) -> Answer:
        made.append(_rendered(outcome))
        return made[-1]

    answer = await desk.books.attempt(command, once.attempt(render, part))
    # One that was not made here and now was kept.
    return Reply(answer, replayed=not any(answer is one for one in made))


async def register(
    desk: Desk, once: Once | None, work: Callable[[Registry], Awaitable[Made]], render: Callable[[Made], Answer]
) -> Reply:
    """As `book`, for what is no command: the change and its answer are one transaction."""
    if once is None:
        return Reply(render(await work(Registry(desk.database))))
    attempt = once.attempt(_rendered)
    key = attempt.lane, attempt.token, attempt.key
    async with desk.database.write() as connection:
        now = clock.now()
        known = await find_answers(connection, [attempt])
        kept = known[key].again(attempt, now) if key in known else None
        if kept is not None:
            return Reply(kept, replayed=True)
        try:
            async with connection.begin_nested():
                answer = render(await work(Registry(desk.database, within=connection)))
        except AlikassaError as refusal:
            problem = problem_of(refusal)
            if problem.status == 400 or problem.status >= 500:
                raise
            answer = problem.answer
        await keep_answers(connection, [(attempt, answer)], known, now)
    return Reply(answer)
