"""How many requests may be under way at once, how many are worked on, and how long a body may take to arrive."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from litestar.enums import ScopeType

from alikassa.errors import OverloadedError
from alikassa.ledger.ids import QuickIds
from alikassa.server.correlation import REQUEST_ID
from alikassa.server.operator.manners import ALWAYS
from alikassa.server.operator.places import Places
from alikassa.server.operator.refusals import RequestError, problem_of

if TYPE_CHECKING:
    from collections import Counter

    from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

__all__ = ["MOST_UNDER_WAY", "Bounds", "Refusal"]

#: Requests that are worked on or wait: as many as two writers book together, twice over. Others are refused at once.
MOST_UNDER_WAY = 1024
#: Requests that are worked on: as many as one commit books. More at once only wait for each other: with a thousand,
#: 99 % of bookings at half load took up to 1.4 s instead of 0.4 (server and PostgreSQL on one core).
MOST_WORKED_ON = 256
#: How long one waits for that, in seconds.
MOST_SECONDS = 1.0


class Refusal(NamedTuple):
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Bounds:
    """Around everything else, for one event loop: what is refused here costs little.

    It is counted in `statuses` and has an id, as every answer; it has no span.
    """

    def __init__(self, app: ASGIApp, body_seconds: float, statuses: Counter[int]) -> None:
        self._app = app
        self._body_seconds = body_seconds
        self._statuses = statuses
        self._under_way = 0
        self._places = Places(MOST_WORKED_ON, MOST_SECONDS)
        self._new_id = QuickIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if (refusal := self.refusal()) is not None:
            await _refuse(refusal, scope, send)
            return
        self._under_way += 1
        try:
            if not await self._places.take():
                await _refuse(self._refused(), scope, send)
                return
            try:
                await self._app(scope, self._patient(receive), send)
            finally:
                self._places.leave()
        finally:
            self._under_way -= 1

    def refusal(self) -> Refusal | None:
        """What is answered at once to a request for which there is no room."""
        return self._refused() if self._under_way >= MOST_UNDER_WAY else None

    def _refused(self) -> Refusal:
        self._statuses[_FULL.status] += 1
        return Refusal(_FULL.status, [*_FULL_HEADERS, (REQUEST_ID, self._new_id())], _FULL.answer.body)

    def _patient(self, receive: Receive) -> Receive:
        """Receives the body until it has taken too long altogether; afterwards only waits for who asks to go away."""
        # From when it is first asked for: who waits for the database before that is not late.
        until: float | None = None
        whole = False

        async def receive_in_time() -> Any:
            nonlocal until, whole
            if whole:
                return await receive()
            until = until or time.monotonic() + self._body_seconds
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise RequestError(
                    408,
                    "TooLate",
                    "The body did not arrive in time.",
                    remedy=f"Send the whole body within {self._body_seconds:g} s.",
                    headers={"Connection": "close"},
                ) from None
            whole = message["type"] != "http.request" or not message.get("more_body")
            return message

        return receive_in_time


async def _refuse(refusal: Refusal, scope: HTTPScope, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else refusal.body
    await send({"type": "http.response.body", "body": body, "more_body": False})


# Made once: while there is too much to do, saying so must cost little.
_FULL = problem_of(
    OverloadedError("Too many requests are under way.", remedy="Nothing was done. Send it again in a moment.")
)
_FULL_HEADERS = [
    ("content-type", "application/json"),
    ("content-length", str(len(_FULL.answer.body))),
    *[(name.lower(), value) for name, value in _FULL.headers.items()],
    *[(name.decode(), value.decode()) for name, value in ALWAYS],
]
