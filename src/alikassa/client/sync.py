"""The client for programs that wait."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Self

from alikassa.client.core import ATTEMPTS, BASE_URL, TIMEOUT, Core
from alikassa.client.transport import PoolTransport
from alikassa.errors import AlikassaError, DeadlineExceededError

if TYPE_CHECKING:
    import os
    import uuid

    from alikassa.client.transport import Transport
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["Client"]


class Client:
    """Asks for one account's balance.

    - `account`: its uuid;
    - `keys`: the folder of the payout certificate's archive (private.pem, password.txt), or a signer;
    - `digest`: `sha256` (the default) or `sha1`, for a folder; a signer chooses its own;
    - `body`: `{}` (the default), `[]` or `null`, as the page's programs send;
    - `timeout`: for a whole call with its retries, in seconds;
    - `attempts`: how often a call is tried at most, when the connection, the server (5xx) or its limit (429) fails;
    - `ca_bundle`: a PEM file to trust instead of the system's store. TLS is always checked;
    - `proxy`: its URL; by default what HTTPS_PROXY and NO_PROXY say.

    Threads may share a client. Close it, or use `with`. Raises ConfigurationError and CertificateError.
    """

    def __init__(
        self,
        account: str | uuid.UUID,
        keys: str | os.PathLike[str] | Signer,
        *,
        base_url: str = BASE_URL,
        digest: Digest | str | None = None,
        body: bytes | str = b"{}",
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        ca_bundle: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._core = Core(
            account, keys, base_url=base_url, digest=digest, body=body, timeout=timeout, attempts=attempts
        )
        self._transport = transport or PoolTransport(self._core.url, ca_bundle, proxy)

    def balance(self, *, timeout: float | None = None) -> Balance:
        """The account's balance now.

        Raises RefusedError (with the fields' messages), RateLimitedError, ServerError, NetworkError,
        DeadlineExceededError, ProtocolError: all of them AlikassaError.
        """
        core = self._core
        seconds = core.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        outgoing = core.outgoing()
        last: AlikassaError | None = None
        for attempt in count(1):
            try:
                incoming = self._transport.send(outgoing, deadline)
                return core.understand(incoming.status, incoming.headers, incoming.body)
            except DeadlineExceededError:
                raise core.too_late(seconds) from last
            except AlikassaError as error:
                last = error
                wait = core.wait(error, attempt, deadline - time.monotonic())
                if wait is None:
                    raise
            time.sleep(wait)
        raise AssertionError  # the loop ends by itself

    def close(self) -> None:
        """Close the connections. A closed client opens new ones when asked again."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._core!r})"
