"""The operator's application as the web server runs it.

The server speaks RSGI, which costs a fraction of ASGI: a request for which there is no room is refused before anything
is made for it. All others are handed to the application as ASGI.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from granian.asgi import LifespanProtocol

from alikassa.server.garbage import spare_what_stays
from alikassa.server.operator.asgi import Conversation, scope_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from litestar.types import ASGIApp

    from alikassa.server.operator.bounds import Refusal

__all__ = ["Front"]

# How long the loop's thread may keep the interpreter while another wants it, in seconds. A batch on SQLite takes some
# fifteen turns of the driver's thread; by default each would wait for five milliseconds while the loop is busy.
_SWITCH_SECONDS = 0.0005


class Front:
    """`refusal` tells what to answer a request at once, None when there is room for it."""

    def __init__(self, app: ASGIApp, refusal: Callable[[], Refusal | None]) -> None:
        self._app = app
        self._refusal = refusal
        lifespan: Any = LifespanProtocol
        self._lifespan = lifespan(app)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._lifespan.startup())
        if self._lifespan.interrupt:
            sys.exit(1)
        spare_what_stays()
        sys.setswitchinterval(_SWITCH_SECONDS)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._lifespan.shutdown())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        refusal = self._refusal()
        if refusal is None:
            conversation = Conversation(protocol, scope.headers)
            await self._app(scope_of(scope), conversation.receive, conversation.send)
        else:
            body = b"" if scope.method == "HEAD" else refusal.body
            protocol.response_bytes(refusal.status, refusal.headers, body)
