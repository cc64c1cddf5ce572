"""How many requests may be under way at once, and how long a body may take to arrive."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType

from alikassa.errors import OverloadedError
from alikassa.server.operator.refusals import RequestError, problem_of

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

__all__ = ["MOST_UNDER_WAY", "Bounds"]

#: Requests that are worked on or wait: as many as two writers book together, twice over. Others are refused at once.
MOST_UNDER_WAY = 1024


class Bounds:
    """Around the application, for one event loop."""

    def __init__(self, app: ASGIApp, body_seconds: float) -> None:
        self._app = app
        self._body_seconds = body_seconds
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if self._under_way >= MOST_UNDER_WAY:
            await _refuse(send)
            return
        self._under_way += 1
        try:
            await self._app(scope, self._patient(receive), send)
        finally:
            self._under_way -= 1

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


# Made once: while there is too much to do, saying so must cost little.
_FULL = problem_of(
    OverloadedError("Too many requests are under way.", remedy="Nothing was done. Send it again in a moment.")
)
_FULL_BODY = _FULL.answer.body
_FULL_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_FULL_BODY)).encode()),
    *[(name.lower().encode(), value.encode()) for name, value in _FULL.headers.items()],
]


async def _refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": _FULL.status, "headers": _FULL_HEADERS})
    await send({"type": "http.response.body", "body": _FULL_BODY, "more_body": False})
