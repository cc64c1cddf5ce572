"""Whether the books are true: all of them are read and worked out again."""

from __future__ import annotations

import asyncio
import threading
import uuid

import msgspec

from alikassa import clock
from alikassa.errors import DatabaseError, OverloadedError
from alikassa.ledger.attempts import Answer
from alikassa.ledger.database import WRITER_SECONDS, Database
from alikassa.ledger.verify.past import note_verification
from alikassa.ledger.verify.verification import Progress, Verified, verify
from alikassa.server.operator.answers import encode
from alikassa.server.operator.routing import Question, asking
from alikassa.server.operator.shapes import wire, wire_type

__all__ = ["ROUTES"]


class VerifyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one account, or of all."""

    account: uuid.UUID | None = None


class _Stopped(Exception):  # noqa: N818 - nothing is wrong
    """Nobody waits for it any more."""


@asking(
    "/verify",
    VerifyQuery,
    wire_type(Verified),
    "Work the books out again and say what is wrong. Takes as long as there are entries; one at a time.",
    refusals=frozenset({404}),
)
async def verified(question: Question[VerifyQuery]) -> Answer:
    desk = question.desk
    if desk.verifying.locked():
        raise OverloadedError("The books are being verified.", remedy="One at a time: ask again when that is done.")
    async with desk.verifying:
        found, unnoted = await _elsewhere(desk.url, question.query.account)
    if unnoted is not None:
        desk.log.verification_not_noted(unnoted)
    return Answer(200, encode(wire(found)))


async def _elsewhere(url: str, account: uuid.UUID | None) -> tuple[Verified, DatabaseError | None]:
    """In a thread with a loop and connections of its own: it computes for long, and bookings must not wait for it.
    What it found, and what kept that from being noted."""
    stop = threading.Event()

    def look(_: Progress) -> None:
        if stop.is_set():
            raise _Stopped

    async def run() -> tuple[Verified, DatabaseError | None]:
        started_at = clock.now()
        async with Database.attach(url, seconds=WRITER_SECONDS) as own:
            found = await verify(own, account=account, progress=look)
            return found, None if account else await note_verification(own, started_at, found)

    working = asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(run()))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.set()
        # Another may begin only when this one has ended.
        await asyncio.wait([working])
        raise


ROUTES = (verified,)
