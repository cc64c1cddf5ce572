"""A line to PostgreSQL that can be slow, or fall silent or be cut at a commit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any, TypeVar

__all__ = ["Line", "Proxy"]


Result = TypeVar("Result")

_BOOKS = b"alikassa books"


class Line(Enum):
    """What the line does with what it is given."""

    GOOD = "good"
    SLOW = "slow"
    SILENT = "silent"
    #: It falls silent when the next commit of the books comes, before that arrives.
    FALLING_SILENT = "falling silent"
    #: Every connection that sends a commit is cut: one before the commit arrives, the next after it was done.
    CUT = "cut"


class Proxy:
    """Between a port of 127.0.0.1 and a Unix socket, in a thread of its own."""

    def __init__(self, socket: str, delay: float = 0.3) -> None:
        self._socket = socket
        self._delay = delay
        self._line = Line.GOOD
        self._commits = 0
        #: Connections that were cut when PostgreSQL had said that it committed, before that was passed on.
        self.cut_after_commit = 0
        self._good = asyncio.Event()
        self._silent = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._streams: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def become(self, line: Line) -> None:
        async def change() -> None:
            self._line = line
            if line is Line.FALLING_SILENT:
                self._good.clear()
                self._silent.clear()
                await self._silent.wait()
            else:
                self._good.set()

        self._run(change())

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in self._streams:
                stream.transport.abort()
            await asyncio.sleep(0.1)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        try:
            there, back = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.close()
            return
        self._streams.add(back)
        cutting = asyncio.Event()
        ways = [
            asyncio.create_task(self._carry(reader, back, cutting, asked=True)),
            asyncio.create_task(self._carry(there, writer, cutting, asked=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for stream in (writer, back):
            stream.close()
            self._streams.discard(stream)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event, *, asked: bool
    ) -> None:
        books = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                # What a connection is for it says when it begins.
                books |= _BOOKS in data
                if self._line is Line.SLOW and not asked:
                    await asyncio.sleep(self._delay)
                if self._line is Line.FALLING_SILENT and books and b"COMMIT" in data:
                    self._line = Line.SILENT
                    self._silent.set()
                if self._line is Line.SILENT:
                    await self._good.wait()
                if self._line is Line.CUT and asked and b"COMMIT" in data:
                    self._commits += 1
                    if self._commits % 3 == 0:
                        return  # before it arrives
                    if self._commits % 3 == 1:
                        cutting.set()
                if cutting.is_set() and not asked:
                    self.cut_after_commit += b"COMMIT" in data
                    return  # after it was done: nobody is told
                writer.write(data)
                await writer.drain()
