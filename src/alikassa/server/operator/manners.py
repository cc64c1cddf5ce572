"""What holds for every answer, whoever gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from litestar.enums import HttpMethod, ScopeType

from alikassa.ledger.asking import ASKING
from alikassa.server.correlation import Correlation

if TYPE_CHECKING:
    from collections import Counter

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from alikassa.server.traces.operator import OperatorSpans

__all__ = ["ALWAYS", "Manners"]

_NO_METHOD = "NONE"
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
#: What an answer has that says nothing of its own.
ALWAYS = (_NO_SNIFF, _NO_STORE)


class Manners:
    """Around the application: nothing is kept by a cache unless it says so itself, HEAD is GET without the body,
    OPTIONS says what there is. Each has an id, as the lines of the log about it have, and is counted by its status."""

    def __init__(self, app: ASGIApp, statuses: Counter[int], spans: OperatorSpans | None = None) -> None:
        self._app = app
        self._statuses = statuses
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        span = None if self._spans is None else self._spans.begin(scope)
        correlation = Correlation(
            [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"], span
        )
        # Each request is a task of its own, and so is what it leaves to be done after it.
        ASKING.set((correlation,))
        name, value = correlation.header
        request_id = (name.encode(), value.encode())
        method = scope["method"]
        if method == "HEAD":
            scope["method"] = HttpMethod.GET
        elif method == "OPTIONS":
            # Answered 405 with the methods that there are. The framework's own answer knows only some of them.
            scope["method"] = cast("HttpMethod", _NO_METHOD)

        answered: int | None = None

        async def polite(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                headers = [*map(_with_head, message["headers"]), _NO_SNIFF, request_id]
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append(_NO_STORE)
                message["headers"] = headers
                if method == "OPTIONS" and message["status"] == 405:
                    message["status"] = 204
                    message["headers"] = [one for one in message["headers"] if not one[0].startswith(b"content-")]
                answered = message["status"]
                self._statuses[answered] += 1
            elif message["type"] == "http.response.body" and method in ("HEAD", "OPTIONS"):
                message["body"] = b""
            await send(message)

        try:
            await self._app(scope, receive, polite)
        finally:
            if self._spans is not None and span is not None:
                self._spans.end(span, scope, method, answered, correlation.request_id)


def _with_head(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Who names GET as allowed means HEAD too."""
    name, value = header
    methods = value.split(b", ")
    if name.lower() == b"allow" and b"GET" in methods and b"HEAD" not in methods:
        return name, b", ".join(sorted([*methods, b"HEAD"]))
    return header
