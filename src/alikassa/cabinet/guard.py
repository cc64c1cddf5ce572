"""What holds for every page of the cabinet: nothing but our own files runs in it, and nobody frames it.

Not for what is refused for want of room: that is no page, and costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.enums import ScopeType

from alikassa.cabinet.refusals import UnfinishedError

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

__all__ = ["PREFIX", "Guard"]

PREFIX = "/cabinet"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_ALWAYS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_OVER_TLS = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """Around the application, for everything under `/cabinet`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # As the router reads a path: it skips what is empty between two strokes.
        if scope["type"] != ScopeType.HTTP or not f"/{scope['path'].lstrip('/')}".startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        headers = [*_ALWAYS, _OVER_TLS] if scope.get("scheme") == "https" else _ALWAYS

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, _whole(receive), guarded)


def _whole(receive: Receive) -> Receive:
    """UnfinishedError for a body that breaks off."""
    arrived = False

    async def received() -> ReceiveMessage:
        nonlocal arrived
        message = await receive()
        if arrived:
            # What is waited for now is that the visitor goes away.
            return message
        if message["type"] != "http.request":
            raise UnfinishedError
        arrived = not message.get("more_body", False)
        return message

    return received
