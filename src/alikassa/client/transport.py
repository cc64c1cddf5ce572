"""Carrying requests to the server and their answers back, on connections that are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpcore2

from alikassa.client.connecting import check_http2, find_proxy, tls_context
from alikassa.client.core import LONGEST_ANSWER
from alikassa.client.deadlines import DeadlineBackend
from alikassa.client.failures import network_error
from alikassa.client.wire import Incoming
from alikassa.errors import AlikassaError, DeadlineExceededError, ProtocolError

if TYPE_CHECKING:
    import os

    from alikassa.client.wire import Outgoing, Transport

__all__ = ["AsyncPoolTransport", "PoolTransport", "open_transport"]

_MOST_CONNECTIONS = 100
_MOST_IDLE = 20
# Below what servers usually allow an idle connection, so that they are seldom found closed.
_IDLE_SECONDS = 5.0


def open_transport(url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None, *, http2: bool) -> Transport:
    """What carries a synchronous client's requests."""
    if not http2:
        return PoolTransport(url, ca_bundle, proxy)
    check_http2()
    from alikassa.client.http2 import LoopTransport

    return LoopTransport(url, ca_bundle, proxy)


class PoolTransport:
    """Keeps connections and shares them between threads."""

    def __init__(self, url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None) -> None:
        self._network = DeadlineBackend()
        self._tls = tls_context(ca_bundle)
        self._proxy = find_proxy(url, proxy, ca_bundle)
        self._pool = self._new_pool()
        self._parents: list[httpcore2.ConnectionPool] = []

    def _new_pool(self) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(
            ssl_context=self._tls,
            proxy=self._proxy,
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._network,
        )

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        failure: AlikassaError
        try:
            with self._network.until(deadline):
                return self._carry(outgoing, deadline)
        except _FAILURES as error:
            failure = network_error(error, outgoing.url, what="No answer from")
        if time.monotonic() >= deadline:
            failure = DeadlineExceededError("The attempt's time is over.")
        raise failure

    def _carry(self, outgoing: Outgoing, deadline: float) -> Incoming:
        response = self._pool.handle_request(_request(outgoing, max(deadline - time.monotonic(), 0.001)))
        try:
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                _check_length(body)
        finally:
            response.close()
        return _incoming(response, body)

    def after_fork(self) -> None:
        # The parent's connections are kept and never touched: to close one would say goodbye in the parent's name.
        self._parents.append(self._pool)
        self._network = DeadlineBackend()
        self._pool = self._new_pool()

    def close(self) -> None:
        self._pool.close()


class _Pool:
    """The connections of one event loop. A retired pool is closed by its last user."""

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self.connections = pool
        self.users = 0
        self.retired = False


class AsyncPoolTransport:
    """Keeps connections, those of the event loop in which it was asked last."""

    def __init__(
        self, url: str, ca_bundle: str | os.PathLike[str] | None, proxy: str | None, *, http2: bool = False
    ) -> None:
        if http2:
            check_http2()
            from alikassa.client.http2 import http2_failures, mute_header_logs

            mute_header_logs()
            self._failures = (*_FAILURES, *http2_failures())
        else:
            self._failures = _FAILURES
        self._http2 = http2
        self._tls = tls_context(ca_bundle)
        self._proxy = find_proxy(url, proxy, ca_bundle)
        self._loop: object = None
        self._pool = self._new_pool()

    def _new_pool(self) -> _Pool:
        return _Pool(
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls,
                proxy=self._proxy,
                http2=self._http2,
                max_connections=_MOST_CONNECTIONS,
                max_keepalive_connections=_MOST_IDLE,
                keepalive_expiry=_IDLE_SECONDS,
            )
        )

    async def send(self, outgoing: Outgoing, /) -> Incoming:
        self._come_into_this_loop()
        pool = self._pool
        pool.users += 1
        try:
            return await self._carry(pool.connections, outgoing)
        except self._failures as error:
            failure = network_error(error, outgoing.url, what="No answer from")
        except anyio.get_cancelled_exc_class():
            self._give_up(pool)
            raise
        finally:
            pool.users -= 1
            if pool.retired and not pool.users:
                with anyio.CancelScope(shield=True):
                    await pool.connections.aclose()
        raise failure

    async def _carry(self, pool: httpcore2.AsyncConnectionPool, outgoing: Outgoing) -> Incoming:
        response = await pool.handle_async_request(_request(outgoing, None))
        try:
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                _check_length(body)
        finally:
            await response.aclose()
        return _incoming(response, body)

    def _give_up(self, pool: _Pool) -> None:
        """An attempt was cut off. An HTTP/1.1 connection ends with it; an HTTP/2 connection stays for the other
        streams, and may be the one that is dead: the next attempt gets a new one."""
        if self._http2 and not pool.retired:
            pool.retired = True
            if self._pool is pool:
                self._pool = self._new_pool()

    def _come_into_this_loop(self) -> None:
        loop = anyio.lowlevel.current_token()
        if self._loop != loop:
            # Connections of an event loop that has ended are of no use in this one, and cannot be closed in it.
            self._loop, self._pool = loop, self._new_pool()

    async def close(self) -> None:
        self._come_into_this_loop()
        await self._pool.connections.aclose()


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
        # Without its start: nobody has looked through it for what was sent.
        raise ProtocolError(
            f"The answer is longer than {LONGEST_ANSWER} bytes.",
            remedy="Check that the base URL is the API's, and that no other page answers in its place.",
        )


_FAILURES: tuple[type[Exception], ...] = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    OSError,
)
