"""HTTP/2: many requests at a time on one connection."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from concurrent.futures import CancelledError
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import anyio

from alikassa.client.transport import AsyncPoolTransport
from alikassa.errors import DeadlineExceededError, NetworkError

if TYPE_CHECKING:
    import os
    from concurrent.futures import Future

    from alikassa.client.wire import Incoming, Outgoing

__all__ = ["LoopTransport", "http2_failures", "mute_header_logs"]

# How much longer than its deadline a thread waits for the loop, in seconds.
_GRACE = 5.0


class LoopTransport:
    """Carries the requests of all threads over one HTTP/2 connection.

    Threads that share such a connection would wait for one another without any limit of time. So the connection
    belongs to an event loop, in a thread of its own, where each request keeps its own deadline.
    """

    def __init__(self, url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None) -> None:
        self._carrier = AsyncPoolTransport(url, ca_bundle, proxy, http2=True)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._at_the_end: weakref.finalize[[asyncio.AbstractEventLoop], LoopTransport] | None = None
        self._parents: list[asyncio.AbstractEventLoop] = []

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        future = self._begin(outgoing, deadline)
        try:
            return future.result(deadline - time.monotonic() + _GRACE)
        except TimeoutError:
            raise DeadlineExceededError("The attempt's time is over.") from None
        except CancelledError:
            raise NetworkError(
                "The client was closed meanwhile.", remedy="Close it when nobody asks any more."
            ) from None
        finally:
            future.cancel()

    def _begin(self, outgoing: Outgoing, deadline: float) -> Future[Incoming]:
        # Under the lock: once `close` has taken the loop away, nothing more is given to it.
        with self._lock:
            return asyncio.run_coroutine_threadsafe(self._send(outgoing, deadline), self._running())

    async def _send(self, outgoing: Outgoing, deadline: float) -> Incoming:
        with anyio.move_on_after(max(deadline - time.monotonic(), 0)):
            return await self._carrier.send(outgoing)
        raise DeadlineExceededError("The attempt's time is over.")

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=loop.run_forever, name="alikassa http2", daemon=True)
            self._thread.start()
            # A client that is dropped unclosed leaves no thread behind.
            self._at_the_end = weakref.finalize(self, _stop, loop)
        return self._loop

    def after_fork(self) -> None:
        # The thread did not come along. A new loop gets new connections; the parent's is kept and never touched,
        # for the two processes share what it waits on.
        self._lock = threading.Lock()
        if self._loop is not None:
            self._parents.append(self._loop)
        if self._at_the_end is not None:
            self._at_the_end.detach()
        self._loop = self._thread = None

    def close(self) -> None:
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._wind_up(), loop).result(_GRACE)
        _stop(loop)
        thread.join(_GRACE)
        if not thread.is_alive():
            loop.close()

    async def _wind_up(self) -> None:
        """End what is under way, so that no thread waits for a loop that has stopped; then the connections."""
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._carrier.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


def http2_failures() -> tuple[type[Exception], ...]:
    """What the HTTP/2 library raises when the other side breaks the protocol in the middle of an answer."""
    # By name: it is the HTTP library's dependency, not ours.
    error: type[Exception] = import_module("h2.exceptions").H2Error
    return (error,)


def mute_header_logs() -> None:
    """The compressor of HTTP/2's headers logs each header that it packs, when debug logs are on: `Sign` with them."""
    for name in ("hpack.hpack", "hpack.table"):
        logger = logging.getLogger(name)
        if _drop not in logger.filters:
            logger.addFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return False
