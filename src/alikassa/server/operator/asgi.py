"""A request of the web server's (RSGI) as an ASGI application sees it.

Two things are not told by RSGI, and must not be taken for something else: the value of a header that is not plain
ASCII, and that a chunked body broke off.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # re-exported there for applications

from alikassa.server.limits.addresses import UNREADABLE
from alikassa.server.operator.refusals import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.types import HTTPScope, Message, ReceiveMessage

__all__ = ["Conversation", "scope_of"]

# A body of stated length is taken as a whole up to this, in one turn. Others come piece by piece, and the application
# says when it is enough.
_AT_ONCE = 64 * 1024
_JSON = "application/json"


def scope_of(scope: Any) -> HTTPScope:
    """What ASGI says of a request, but for `raw_path`, which RSGI does not know."""
    return cast(
        "HTTPScope",
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": scope.http_version,
            "server": _address(scope.server),
            "client": _address(scope.client),
            "scheme": scope.scheme,
            "method": scope.method,
            "root_path": "",
            "path": scope.path,
            "query_string": scope.query_string.encode(),
            "headers": _headers(scope),
            "extensions": {},
            "state": {},
        },
    )


def _headers(scope: Any) -> list[tuple[bytes, bytes]]:
    """One that was sent must not pass for one that was not: instead of values that RSGI leaves out, which are not plain
    ASCII, there is one that is not plain ASCII either. Only where none of that name can be read: RSGI does not tell how
    many there were."""
    headers = scope.headers
    found = [(name.encode(), value.encode()) for name, value in headers.items()]
    there = {name for name, _ in found}
    if "host" not in headers:
        found.append((b"host", (scope.authority or "").encode()))
    found += [(name.encode(), UNREADABLE) for name in headers.keys() if name.encode() not in there]  # noqa: SIM118
    return found


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Conversation:
    """What the application receives: the body, and then that whoever asked is gone or answered. And what it sends."""

    def __init__(self, protocol: Any, headers: Any) -> None:
        self._protocol = protocol
        # Chunks come before a length, which then says nothing: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
        self._chunked = "transfer-encoding" in headers
        length = None if self._chunked else headers.get("content-length")
        self._length = None if length is None else int(length)
        self._json = headers.get("content-type", "").lower().startswith(_JSON)
        self._pieces: AsyncIterator[bytes] | None = None
        self._received = 0
        self._whole = False
        self._answered = asyncio.Event()
        self._begun = False
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._stream: Any = None

    async def receive(self) -> ReceiveMessage:
        """ASGI's. RequestError (411) for a chunked body that could have broken off without anybody's seeing it."""
        try:
            # Whoever answers has no more use for the body.
            if self._whole or self._begun:
                await self._end()
            elif self._chunked or (self._length or 0) > _AT_ONCE:
                return await self._next()
            else:
                body = await self._protocol()
                self._whole = True
                return _piece(body, more=False)
        except ProtocolClosed:
            pass
        return _DISCONNECT

    async def _next(self) -> ReceiveMessage:
        if self._pieces is None:
            # Half of a JSON value is none, and is refused as such. Half of anything else may be another one.
            if self._chunked and not self._json:
                raise _length_required()
            self._pieces = aiter(self._protocol)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            # Its end, or the connection's.
            self._whole = True
            if self._length is not None and self._received != self._length:
                return _DISCONNECT
            if not self._received:
                raise _length_required() from None
            return _piece(b"", more=False)
        self._received += len(piece)
        return _piece(piece, more=True)

    async def _end(self) -> None:
        gone = asyncio.ensure_future(self._protocol.client_disconnect())
        answered = asyncio.ensure_future(self._answered.wait())
        try:
            await asyncio.wait((gone, answered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            answered.cancel()

    async def send(self, message: Message) -> None:
        """ASGI's. When whoever asked is gone nothing happens: `receive` tells of it."""
        if message["type"] == "http.response.start":
            self._begun = True
            self._status = message["status"]
            self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            await self._send_body(message["body"], more=message.get("more_body", False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._stream is None and not more:
            self._protocol.response_bytes(self._status, self._headers, body)
        else:
            if self._stream is None:
                self._stream = self._protocol.response_stream(self._status, self._headers)
            if body:
                with suppress(ProtocolClosed):
                    await self._stream.send_bytes(body)
        if not more:
            # The web server ends the answer when nobody has its stream any more.
            self._stream = None
            self._answered.set()


def _piece(body: bytes, *, more: bool) -> ReceiveMessage:
    return cast("ReceiveMessage", {"type": "http.request", "body": body, "more_body": more})


_DISCONNECT = cast("ReceiveMessage", {"type": "http.disconnect"})


def _length_required() -> RequestError:
    return RequestError(
        411,
        "LengthRequired",
        "The length of the body is not stated.",
        remedy="Send Content-Length, or, in chunks, a body of application/json.",
        headers={"Connection": "close"},
    )
