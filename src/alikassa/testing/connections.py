"""HTTP/1.1 in this process: connections that hand their requests to an RSGI application, and say what it answers.

The server that `alikassa serve` runs on lives in processes of its own, and cannot break an answer off. This one can:
h11 parses, which comes with the client, and the bytes are ours.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import h11
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # re-exported there for applications

from alikassa.server.answers import Answer
from alikassa.testing.faults import Dripping, Reset, Silent

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from alikassa.testing.faults import Fault

__all__ = ["MARK", "Exchange", "Headers", "HttpServer", "Request"]

#: On every answer, so that a sandbox is not mistaken for production.
MARK = ("x-alikassa-sandbox", "1")
_LONGEST_HEADERS = 8192
_MOST_HEADERS = 100
_IDLE_SECONDS = 10.0
_MOST_CONNECTIONS = 512
# What is read of a body that nobody wants, so that the answer is not lost with it.
_MOST_UNWANTED = 1024 * 1024
_UNWANTED_SECONDS = 2.0


class Headers:
    """A request's, with names in small letters. A value that is not plain ASCII is not told, but its name is there."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._names = {name.decode("ascii") for name, _ in headers}
        self._headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in headers if value.isascii()]

    def get(self, name: str) -> str | None:
        return next(iter(self.get_all(name)), None)

    def __contains__(self, name: str, /) -> bool:
        return name in self._names

    def get_all(self, name: str, /) -> list[str]:
        return [value for known, value in self._headers if known == name]


class Request(NamedTuple):
    """A request's head. `path` is without its query."""

    method: str
    path: str
    headers: Headers


class Exchange:
    """One request: its body comes in, its answer goes out when the application has returned."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        #: What has arrived of the body.
        self.body = bytearray()
        self.answer: Answer | None = None
        self.fault: Fault | None = None

    def __call__(self) -> asyncio.Future[bytes | None]:
        return asyncio.ensure_future(self._whole())

    async def _whole(self) -> bytes | None:
        async for _ in self:
            pass
        return bytes(self.body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._connection.body():
            self.body += chunk
            yield chunk

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = Answer(status, headers, body)


class HttpServer:
    """Listens on one port of 127.0.0.1."""

    def __init__(self, application: Callable[[Request, Exchange], Awaitable[None]]) -> None:
        self._application = application
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int, tls: ssl.SSLContext | None) -> int:
        """The port that it listens on; OSError when that is taken."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=tls, ssl_handshake_timeout=5 if tls else None, backlog=512
        )
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await _Connection(reader, writer).serve(self._application)
        except (OSError, ProtocolClosed, asyncio.CancelledError):
            pass  # the other side is gone, or the sandbox is ending; a TimeoutError is an OSError
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEADERS)

    async def serve(self, application: Callable[[Request, Exchange], Awaitable[None]]) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    event = await self._next()
            except h11.RemoteProtocolError as error:
                await self._say(Answer(error.error_status_hint, [("connection", "close")], b""), head_only=False)
                await self._part()
                return
            if not isinstance(event, h11.Request):
                return
            if _is_too_large(event):
                await self._say(Answer(431, [("connection", "close")], b""), head_only=False)
                await self._part()
                return
            exchange = Exchange(self)
            method = event.method.decode("ascii")
            path = event.target.decode("ascii").partition("?")[0]
            await application(Request(method, path, Headers(list(event.headers))), exchange)
            if not await self._respond(exchange, head_only=method == "HEAD"):
                return

    async def body(self) -> AsyncIterator[bytes]:
        """The chunks of the request's body. ProtocolClosed when it breaks off."""
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        while True:
            try:
                event = await self._next()
            except h11.RemoteProtocolError:
                raise ProtocolClosed from None
            if isinstance(event, h11.EndOfMessage):
                return
            if not isinstance(event, h11.Data):
                raise ProtocolClosed
            yield bytes(event.data)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65536))
        return event  # type: ignore[return-value] # NEED_DATA is what the loop waits out

    async def _respond(self, exchange: Exchange, *, head_only: bool) -> bool:
        """Answer, or do not, as the fault has it. Whether the connection goes on."""
        fault = exchange.fault
        if isinstance(fault, Silent):
            await self._wait_until_gone(fault.seconds)
            return False
        if isinstance(fault, Reset):
            # Zero seconds of lingering: the other side is told of a reset, not of an end.
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if exchange.answer is None:
            return False
        pause = fault.seconds if isinstance(fault, Dripping) else 0
        await self._say(exchange.answer, head_only=head_only, pause=pause)
        # Who is told that the connection ends need not say the rest, where that end can be shown while reading on.
        if self._http.our_state is not h11.MUST_CLOSE or not self._writer.can_write_eof():
            await self._skip_body()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        await self._part()
        return False

    async def _say(self, answer: Answer, *, head_only: bool, pause: float = 0) -> None:
        headers = [*answer.headers, MARK, ("content-length", str(len(answer.body)))]
        head = h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status))
        said = self._http.send(head) or b""
        if answer.body and not head_only:
            said += self._http.send(h11.Data(data=answer.body)) or b""
        said += self._http.send(h11.EndOfMessage()) or b""
        for piece in [said] if not pause else [said[place : place + 1] for place in range(len(said))]:
            self._writer.write(piece)
            await self._writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def _skip_body(self) -> None:
        """Read past a body that the application did not want, up to a bound."""
        unwanted = 0
        try:
            async with asyncio.timeout(_UNWANTED_SECONDS):
                while self._http.their_state is h11.SEND_BODY and unwanted < _MOST_UNWANTED:
                    event = await self._next()
                    unwanted += len(event.data) if isinstance(event, h11.Data) else 0
        except (h11.RemoteProtocolError, TimeoutError):
            pass  # the connection ends then

    async def _part(self) -> None:
        """Close so that what was said arrives, though the other side may still be talking."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self._writer.close()
        await self._wait_until_gone(_UNWANTED_SECONDS)

    async def _wait_until_gone(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65536):
                    pass
        except TimeoutError:
            pass


def _is_too_large(request: h11.Request) -> bool:
    """Whether the server would answer 431: h11 bounds only what has not arrived whole."""
    headers = list(request.headers)
    size = len(request.method) + len(request.target) + sum(len(name) + len(value) + 4 for name, value in headers)
    return size > _LONGEST_HEADERS or len(headers) > _MOST_HEADERS


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
