"""TLS to the server inside the TLS to a proxy, over operations that each keep the attempt's time."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore2

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TunnelledStream"]

T = TypeVar("T")

_AT_ONCE = 16 * 1024


class TunnelledStream(httpcore2.NetworkStream):
    """A stream whose TLS goes through `outer`, itself one with TLS.

    The HTTP library's own gives the same time anew to each piece that arrives: who drips them could take for ever.
    """

    def __init__(self, outer: httpcore2.NetworkStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        try:
            self._do(self._tls.do_handshake)
        except ssl.SSLError as error:
            outer.close()
            raise httpcore2.ConnectError(str(error)) from error
        except BaseException:
            outer.close()
            raise

    def _do(self, act: Callable[[], T]) -> T:
        """What `act` gives, once it has what it needs from the other side."""
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._outer.read(_AT_ONCE)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._outer.write(self._outgoing.read())

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._do(partial(self._tls.read, max_bytes))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            while buffer:
                buffer = buffer[self._do(partial(self._tls.write, buffer)) :]
        except ssl.SSLError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        self._outer.close()

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else self._outer.get_extra_info(info)
