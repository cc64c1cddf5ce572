"""What holds for every answer, whoever gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.enums import ScopeType

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Manners"]

_ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Manners:
    """Around the application: nothing is kept by a cache, and HEAD is GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        if head:
            scope["method"] = "GET"

        async def polite(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*map(_with_head, message["headers"]), *_ALWAYS]
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, polite)


def _with_head(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Who names GET as allowed means HEAD too."""
    name, value = header
    methods = value.split(b", ")
    if name.lower() == b"allow" and b"GET" in methods and b"HEAD" not in methods:
        return name, b", ".join(sorted([*methods, b"HEAD"]))
    return header
