"""Somebody else's web server (hypercorn) over TLS, with HTTP/1.1 and HTTP/2: it says what a script tells it to."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import trustme
from hypercorn.config import Config

from conftest import PAGE_ANSWER

Send = Callable[[dict[str, Any]], Awaitable[None]]
#: Given what was asked and how to send, it answers.
Script = Callable[["Asked", Send], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived. Header names in small letters; `connection` tells connections apart."""

    version: str
    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int]


def says(status: int, body: bytes = b"", **headers: str) -> Script:
    """Answer at once."""

    async def script(asked: Asked, send: Send) -> None:
        named = {"content-type": "application/json"} | {n.replace("_", "-").lower(): v for n, v in headers.items()}
        lines = [(name.encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    return script


def gives(body: bytes = PAGE_ANSWER) -> Script:
    return says(200, body)


def drips(body: bytes, seconds: float) -> Script:
    """The body byte by byte, with a pause after each."""

    async def script(asked: Asked, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for place in range(len(body)):
            await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
            await asyncio.sleep(seconds)

    return script


def waits(seconds: float, then: Script | None = None) -> Script:
    """Nothing for a while."""

    async def script(asked: Asked, send: Send) -> None:
        await asyncio.sleep(seconds)
        await (then or gives())(asked, send)

    return script


async def breaks_off(asked: Asked, send: Send) -> None:
    """Promise a hundred bytes and end after one."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"{"})


@dataclass
class HttpsServer:
    """Runs one script a request, the last one for all that follow."""

    url: str = ""
    ca: Path = Path()
    scripts: list[Script] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *scripts: Script) -> None:
        """From now on, these."""
        self.scripts, self.asked = list(scripts), []

    @property
    def connections(self) -> int:
        return len({one.connection for one in self.asked})

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = Asked(scope["http_version"], headers, body, tuple(scope["client"]))
        self.asked.append(asked)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        await script(asked, send)


@contextmanager
def https_server(folder: Path, port: int) -> Iterator[HttpsServer]:
    """A running server on this port of 127.0.0.1. `ca` is the file of the CA to trust."""
    ca = trustme.CA()
    identity = ca.issue_cert("127.0.0.1")
    server = HttpsServer(f"https://127.0.0.1:{port}", folder / "ca.pem")
    ca.cert_pem.write_to_path(str(server.ca))
    identity.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile = config.keyfile = str(folder / "server.pem")
    config.errorlog = None
    config.include_date_header = False
    config.graceful_timeout = 0.1
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        loop.run_until_complete(hypercorn.asyncio.serve(server, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    _wait_until_it_listens(port)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def _wait_until_it_listens(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
