"""The exporter's web server: what it takes of a stranger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from alikassa.monitor.web import Bounds, Page, serve_pages

ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n"


def on_server(bounds: Bounds, work: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        server = await serve_pages({"/a": Page("text/plain", lambda: b"here")}, "127.0.0.1", 0, bounds)
        async with server:
            await work(server.sockets[0].getsockname()[1])

    asyncio.run(run())


async def say(port: int, content: bytes) -> bytes:
    """All that comes back; b"" where the connection is closed without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_long_headers_are_refused() -> None:
    """One byte less than the bound is answered; beyond it is 431, and nothing of it is kept."""

    async def work(port: int) -> None:
        rest = 200 - len(ASK) - len("X: \r\n\r\n")
        assert (await say(port, ASK + b"X: " + b"a" * rest + b"\r\n\r\n")).endswith(b"here")
        assert (await say(port, ASK + b"X: " + b"a" * (rest + 5) + b"\r\n\r\n")).startswith(b"HTTP/1.1 431 ")
        assert (await say(port, b"a" * 1000)).startswith(b"HTTP/1.1 431 ")

    on_server(Bounds(head=200), work)


def test_a_slow_request_is_closed() -> None:
    """Headers that do not end are waited for so long and no longer, however many bytes still come."""

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = asyncio.get_running_loop().time()
        read = asyncio.ensure_future(reader.read())
        while not read.done() and asyncio.get_running_loop().time() < begun + 5:
            writer.write(b"G")
            await asyncio.sleep(0.02)
        assert await read == b""
        assert 0.15 <= asyncio.get_running_loop().time() - begun < 2
        writer.close()

    on_server(Bounds(seconds=0.2), work)


def test_connections_are_counted() -> None:
    """With as many open as may be, one more is closed unheard; when one has gone, the next is heard."""

    async def work(port: int) -> None:
        open_ = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await say(port, ASK + b"\r\n") == b""
        open_[0][1].close()
        await asyncio.sleep(0.05)
        assert (await say(port, ASK + b"\r\n")).endswith(b"here")
        open_[1][1].close()

    on_server(Bounds(connections=2), work)
