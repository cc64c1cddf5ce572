"""Connections whose every operation is given what is left of the attempt's time, so that no server can stretch it."""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore2

from alikassa.client.tunnelled import TunnelledStream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

__all__ = ["DeadlineBackend"]

# An operation of the HTTP library has a time of its own each; a server that drips bytes could so take for ever.
# Below, every operation on the network is given what is left of the attempt's time.


class DeadlineBackend(httpcore2.NetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore2.SyncBackend()
        # Each thread has its own call under way; connections wander between threads.
        self._calls = threading.local()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        self._calls.deadline = deadline
        try:
            yield
        finally:
            self._calls.deadline = None

    def remaining(self) -> float | None:
        """Seconds left of this thread's call, None outside one. Raises once there are none."""
        deadline = getattr(self._calls, "deadline", None)
        if deadline is None:
            return None
        left: float = deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the attempt's time is over")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        addresses = self._resolve(host, port)
        for place, address in enumerate(addresses):
            left = len(addresses) - place
            remaining = self.remaining()
            try:
                # A fair share for each: one address that does not answer must leave time for the others.
                share = None if remaining is None else remaining / left
                stream = self._backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
                continue
            return _DeadlineStream(stream, self)
        raise httpcore2.ConnectError(f"{host} has no address")

    def _resolve(self, host: str, port: int) -> list[str]:
        """The host's addresses. The system's resolver knows no time limit, so a thread waits for it."""
        results: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

        def resolve() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                results.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
            except (OSError, UnicodeError) as error:
                results.put(OSError(str(error)))

        threading.Thread(target=resolve, name="alikassa resolver", daemon=True).start()
        try:
            found = results.get(timeout=self.remaining())
        except queue.Empty:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from None
        if isinstance(found, OSError):
            raise httpcore2.ConnectError(str(found)) from found
        return found

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _DeadlineStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, backend: DeadlineBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.remaining())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.remaining())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        if self._stream.get_extra_info("ssl_object") is not None:
            return TunnelledStream(self, ssl_context, server_hostname)
        stream = self._stream.start_tls(ssl_context, server_hostname, self._backend.remaining())
        return _DeadlineStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
