"""Answers to attempts that a caller named by a key, kept for a day and given again.

A key names one attempt, a reference names one event: a refusal is given again under its key, and is decided afresh
under another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import ConflictError
from alikassa.ledger.bulk import columns_of, find_rows, insert_rows, update_rows
from alikassa.ledger.model import Booked
from alikassa.ledger.schema import attempts
from alikassa.ledger.types import Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


__all__ = ["KEPT", "Answer", "Attempt", "Kept", "Key", "find_answers", "forget_answers", "keep_answers"]

#: How long an answer is given again.
KEPT = timedelta(hours=24)

_KEY = columns_of(attempts, "lane", "token_id", "key")
_ALL = columns_of(attempts, "lane", "token_id", "key", "request", "status", "body", "made_at")


class Answer(msgspec.Struct, frozen=True):
    """What the caller was told."""

    status: int
    body: bytes


class Attempt(msgspec.Struct, frozen=True):
    """One attempt: whose key, and the hash of what was asked under it.

    `render` makes the answer of what came of it; it is kept in the transaction that books.
    """

    lane: int
    token: uuid.UUID
    key: str
    request: bytes
    render: Callable[[Booked | Exception], Answer]


class Kept(msgspec.Struct, frozen=True):
    """An answer that was kept, and what had been asked."""

    request: bytes
    answer: Answer
    made_at: datetime

    def again(self, attempt: Attempt, now: datetime) -> Answer | None:
        """The answer, None when it is too old. ConflictError when the key named another request."""
        if self.made_at + KEPT <= now:
            return None
        if self.request != attempt.request:
            raise ConflictError(
                f"The Idempotency-Key {attempt.key!r} was used for another request.",
                remedy="Nothing was booked. Give every request a key of its own.",
            )
        return self.answer


Key = tuple[int, "uuid.UUID", str]


async def find_answers(connection: AsyncConnection, wanted: Sequence[Attempt]) -> dict[Key, Kept]:
    keys = [(one.lane, one.token, one.key) for one in wanted]
    statement = "t.lane, t.token_id, t.key, t.request, t.status, t.body, t.made_at"
    found: dict[Key, Kept] = {}
    by_text = {(lane, str(token), key): (lane, token, key) for lane, token, key in keys}
    for lane, token, key, request, status, body, made_at in await find_rows(connection, _KEY, keys, statement):
        at = made_at if isinstance(made_at, datetime) else datetime.fromisoformat(made_at)
        found[by_text[lane, str(token), key]] = Kept(request, Answer(status, body), at)
    return found


async def keep_answers(
    connection: AsyncConnection, answered: Sequence[tuple[Attempt, Answer]], known: dict[Key, Kept], now: datetime
) -> None:
    new: list[tuple[Any, ...]] = []
    old: list[tuple[Any, ...]] = []
    for one, answer in answered:
        row = (one.lane, one.token, one.key, one.request, answer.status, answer.body, now)
        (old if (one.lane, one.token, one.key) in known else new).append(row)
    await insert_rows(connection, _ALL, new)
    await update_rows(connection, _ALL, 3, old)


async def forget_answers(connection: AsyncConnection, now: datetime, lane: int | None = None) -> int:
    """Delete what is no longer given again, of all lanes or of one; how many there were."""
    before = sa.bindparam("before", now - KEPT, type_=Moment)
    old = sa.delete(attempts).where(attempts.c.made_at <= before)
    return (await connection.execute(old if lane is None else old.where(attempts.c.lane == lane))).rowcount
