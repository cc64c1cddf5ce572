"""A small HTTP server for pages that are made on the spot: bounded in size, time and number."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Bounds", "Page", "serve_pages"]


@dataclass(frozen=True)
class Page:
    """A page: its content type, and what makes its body."""

    content_type: str
    body: Callable[[], bytes]


@dataclass(frozen=True)
class Bounds:
    """Of the request's head in bytes, of a connection's whole life in seconds, of connections at a time."""

    head: int = 8 * 1024
    seconds: float = 5.0
    connections: int = 32


_BOUNDS = Bounds()


async def serve_pages(pages: Mapping[str, Page], host: str, port: int, bounds: Bounds = _BOUNDS) -> asyncio.Server:
    """Serve them until the server is closed: GET and HEAD, one request a connection. A connection more than may be
    open is closed unheard, and so is a slow one. On loopback, only requests to this machine's own names are answered:
    a page in the browser could give its own name this address.

    Raises ConfigurationError when the address cannot be had.
    """
    busy, local = 0, _is_local(host)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy
        busy += 1
        try:
            if busy > bounds.connections:
                return
            async with asyncio.timeout(bounds.seconds):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer(pages, head) if not local or _is_for_local(head) else _ASTRAY)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except asyncio.LimitOverrunError:
            writer.write(_response(431, "text/plain; charset=utf-8", b"The headers are too long.\n"))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            busy -= 1
            writer.close()

    try:
        return await asyncio.start_server(handle, host, port, limit=bounds.head)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror}.", remedy="Choose another --port or --host."
        ) from error


_TEXT = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Headers Too Large",
}


def _is_local(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_for_local(head: bytes) -> bool:
    hosts = re.findall(rb"(?i)\r\nhost:[ \t]*(\[[0-9a-f:]+\]|[^:\r]*)", head)
    return all(_is_local(host.decode("latin-1").strip().strip("[]").lower()) for host in hosts)


def _answer(pages: Mapping[str, Page], head: bytes) -> bytes:
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _response(400, _TEXT, b"This is no HTTP.\n")
    method, target, _ = words
    if method not in (b"GET", b"HEAD"):
        return _response(405, _TEXT, b"Use GET.\n", "Allow: GET, HEAD\r\n")
    page = pages.get(target.partition(b"?")[0].decode("latin-1"))
    if page is None:
        known = ", ".join(pages)
        answer = _response(404, _TEXT, f"There are: {known}\n".encode())
    else:
        answer = _response(200, page.content_type, page.body())
    return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: int, content_type: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"{more}Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + body


_ASTRAY = _response(421, _TEXT, b"This address answers to localhost and 127.0.0.1. Give --host for another.\n")
