"""Carrying a request to the server and its answer back, within a deadline that no server can stretch."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio.lowlevel
import httpcore2

from alikassa.client.core import LONGEST_ANSWER, network_error
from alikassa.errors import ConfigurationError, DeadlineExceededError, ProtocolError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from alikassa.client.core import Outgoing

__all__ = ["AsyncPoolTransport", "AsyncTransport", "Incoming", "PoolTransport", "Transport"]

_MOST_CONNECTIONS = 100
_MOST_IDLE = 20
# Below what servers usually allow an idle connection, so that they are seldom found closed.
_IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class Incoming:
    """An answer. Header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Carries requests. Raises NetworkError, and DeadlineExceededError once `deadline` (time.monotonic) is past."""

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming: ...
    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """As Transport; the caller bounds the time."""

    async def send(self, outgoing: Outgoing, /) -> Incoming: ...
    async def close(self) -> None: ...


class PoolTransport:
    """Keeps connections and shares them between threads."""

    def __init__(self, url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None) -> None:
        self._network = _DeadlineBackend()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_tls(ca_bundle),
            proxy=_proxy(url, proxy),
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._network,
        )

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        request = _request(outgoing, max(deadline - time.monotonic(), 0.001))
        try:
            with self._network.until(deadline):
                response = self._pool.handle_request(request)
                try:
                    body = bytearray()
                    for chunk in response.iter_stream():
                        body += chunk
                        _check_length(body)
                finally:
                    response.close()
        except _FAILURES as error:
            if time.monotonic() >= deadline:
                raise DeadlineExceededError("The call's time is over.") from None
            raise network_error(error, outgoing.url, what="No answer from") from error
        return _incoming(response, body)

    def close(self) -> None:
        self._pool.close()


class AsyncPoolTransport:
    """Keeps connections, those of the event loop in which it was asked last."""

    def __init__(self, url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None) -> None:
        self._tls = _tls(ca_bundle)
        self._proxy = _proxy(url, proxy)
        self._loop: object = None
        self._pool = self._new_pool()

    def _new_pool(self) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            proxy=self._proxy,
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
        )

    async def send(self, outgoing: Outgoing, /) -> Incoming:
        loop = anyio.lowlevel.current_token()
        if self._loop != loop:
            # Connections of an event loop that has ended are of no use in this one, and cannot be closed in it.
            self._loop, self._pool = loop, self._new_pool()
        request = _request(outgoing, None)
        try:
            response = await self._pool.handle_async_request(request)
            try:
                body = bytearray()
                async for chunk in response.aiter_stream():
                    body += chunk
                    _check_length(body)
            finally:
                await response.aclose()
        except _FAILURES as error:
            raise network_error(error, outgoing.url, what="No answer from") from error
        return _incoming(response, body)

    async def close(self) -> None:
        await self._pool.aclose()


# An operation of the HTTP library has a time of its own each; a server that drips bytes could so take for ever.
# Below, every operation on the network is given what is left of the call's time.


class _DeadlineBackend(httpcore2.NetworkBackend):
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
            raise httpcore2.ReadTimeout("the call's time is over")
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
    def __init__(self, stream: httpcore2.NetworkStream, backend: _DeadlineBackend) -> None:
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
        stream = self._stream.start_tls(ssl_context, server_hostname, self._backend.remaining())
        return _DeadlineStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _request(outgoing: Outgoing, timeout: float | None) -> httpcore2.Request:
    url = urlsplit(outgoing.url)
    headers = [("Host", url.netloc), *outgoing.headers, ("Content-Length", str(len(outgoing.body)))]
    return httpcore2.Request(
        "POST",
        outgoing.url,
        headers=[*headers, ("Sign", outgoing.sign.reveal())],
        content=outgoing.body,
        extensions={"timeout": {} if timeout is None else {"pool": timeout}},
    )


def _incoming(response: httpcore2.Response, body: bytearray) -> Incoming:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Incoming(response.status, headers, bytes(body))


def _check_length(body: bytearray) -> None:
    if len(body) > LONGEST_ANSWER:
        raise ProtocolError(f"The answer is longer than {LONGEST_ANSWER} bytes.", raw=bytes(body[:200]))


def _tls(ca_bundle: str | os.PathLike[str] | None) -> ssl.SSLContext:
    # The system's trust store, or the given file instead of it. There is no way not to check.
    context = httpcore2.default_ssl_context() if ca_bundle is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"The CA bundle {ca_bundle} cannot be used: {error.strerror or error}.",
                remedy="Name a PEM file with the certificates that are trusted.",
            ) from error
    return context


def _proxy(url: str, proxy: str | None) -> httpcore2.Proxy | None:
    """The proxy that is asked for, or the environment's (HTTPS_PROXY, NO_PROXY) for this address."""
    target = urlsplit(url)
    if target.scheme == "http":
        # To this machine itself. Through a proxy, `Sign` would travel where everybody on the way can read it.
        if proxy:
            raise ConfigurationError("A proxy is for https only.", remedy="Leave proxy out, or write https://.")
        return None
    if proxy is None:
        proxy = None if proxy_bypass(target.hostname or "") else getproxies().get("https")
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError("The proxy is not understood.", remedy="Write it as http://host:port.")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    shown = f"[{host}]" if ":" in host else host
    return httpcore2.Proxy(f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}", auth=auth)


_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    OSError,
)
