"""The exporter's web server: what it takes of a stranger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from alikassa.monitor.web import Bounds, Page, serve_pages

ASK = b"GET /a HTTP/1.1\r\nHost: localhost\r\n"


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


@pytest.mark.by_the_clock
def test_a_slow_request_is_closed() -> None:
    """Headers that do not end are waited for so long and no longer, however many bytes still come."""

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = asyncio.get_running_loop().time()
        read = asyncio.ensure_future(reader.read())
        while not read.done() and asyncio.get_running_loop().time() < begun + 5:
            writer.write(b"G")
            await asyncio.sleep(0.02)
        # Closed with bytes unread, a connection may also end in a reset.
        (ending,) = await asyncio.gather(read, return_exceptions=True)
        assert ending == b"" or isinstance(ending, ConnectionError)
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


def test_another_name_for_this_machine_is_refused() -> None:
    """A page whose name was made to lead here reads nothing; this machine's own names do, with and without a port."""

    async def work(port: int) -> None:
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            refused = await say(port, f"GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert refused.startswith(b"HTTP/1.1 421 ")
            assert b"here" not in refused.partition(b"\r\n\r\n")[2]
        for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert (await say(port, f"GET /a HTTP/1.1\r\nhost:{host}\r\n\r\n".encode())).endswith(b"here")

    on_server(Bounds(), work)
