"""The client for programs that wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Self

from alikassa.client.call import Call
from alikassa.client.checks import check_transport
from alikassa.client.core import ATTEMPT_TIMEOUT, ATTEMPTS, BASE_URL, TIMEOUT, Core
from alikassa.client.forking import follow_forks, start_afresh
from alikassa.errors import AlikassaError

if TYPE_CHECKING:
    import os
    import uuid
    from collections.abc import Callable

    from alikassa.client.events import Event
    from alikassa.client.wire import Transport
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["Client"]


class Client:
    """Asks for one account's balance.

    - `account`: its uuid;
    - `keys`: the folder of the payout certificate's archive (private.pem, password.txt), or a signer;
    - `digest`: `sha256` (the default), `sha1`, or `auto`, which asks the server once with one and then the other;
      for a folder. A signer chooses its own;
    - `body`: `{}` (the default), `[]` or `null`, as the page's programs send;
    - `fresh`: put account, time and a nonce into the body and sign anew at every try, so that each request is good
      once. For servers that know it, as ours does;
    - `timeout`: for a whole call with its retries, in seconds;
    - `attempt_timeout`: for a single try, in seconds; what is left of the call's time when that is less;
    - `attempts`: how often a call is tried at most, when the connection, the server (5xx) or its limit (429) fails;
    - `ca_bundle`: a PEM file to trust instead of the system's store. TLS is always checked;
    - `proxy`: its URL; by default what HTTPS_PROXY and NO_PROXY say;
    - `http2`: speak HTTP/2 to an https server that does (`pip install 'alikassa[http2]'`);
    - `on_event`: called with each event of `alikassa.client.events`, from the thread that asks;
    - `transport`: carries the requests instead of the client's own connections.

    Threads may share a client, and a forked child may go on using it. Close it, or use `with`.
    Raises ConfigurationError and CertificateError.
    """

    def __init__(
        self,
        account: str | uuid.UUID,
        keys: str | os.PathLike[str] | Signer,
        *,
        base_url: str = BASE_URL,
        digest: Digest | str | None = None,
        body: bytes | str = b"{}",
        fresh: bool = False,
        timeout: float = TIMEOUT,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
        attempts: int = ATTEMPTS,
        ca_bundle: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        http2: bool = False,
        on_event: Callable[[Event], object] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._core = Core(
            account,
            keys,
            base_url=base_url,
            digest=digest,
            body=body,
            fresh=fresh,
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            attempts=attempts,
            on_event=on_event,
        )
        check_transport(transport, ca_bundle=ca_bundle, proxy=proxy, http2=http2)
        if transport is None:
            # Loaded by who makes a client, not by who only imports one: the HTTP library is half of the weight.
            from alikassa.client.transport import open_transport

            transport = open_transport(self._core.url, ca_bundle, proxy, http2=http2)
        self._transport = transport
        self._probing = threading.Lock()
        follow_forks(self)

    @property
    def digest(self) -> Digest | None:
        """The digest in use; None as long as `auto` has not found it, and for a signer that does not say."""
        return self._core.signing.digest

    def balance(self, *, timeout: float | None = None) -> Balance:
        """The account's balance now. `timeout` goes before the client's own, for this call.

        Raises RefusedError (with the fields' messages), RateLimitedError, ServerError, NetworkError,
        DeadlineExceededError, ProtocolError: all of them AlikassaError, with the call's `request_id`.
        """
        with Call(self._core, timeout) as call:
            if not self._core.signing.undecided:
                return self._ask(call)
            # One call finds out which digest the server takes; the others wait for what it finds.
            if not self._probing.acquire(timeout=call.remaining):
                call.expired()
            try:
                if self._core.signing.undecided:
                    return self._ask(call)
            finally:
                self._probing.release()
            return self._ask(call)

    def _ask(self, call: Call) -> Balance:
        while True:
            try:
                signature = call.begin()
                if signature is not None:
                    wait([signature], call.left)
                outgoing = call.outgoing()
                return call.understand(self._transport.send(outgoing, call.deadline))
            except AlikassaError as error:
                pause = call.failed(error)
            time.sleep(pause)

    def close(self) -> None:
        """Close the connections. A closed client opens new ones when asked again."""
        self._transport.close()

    def after_fork(self) -> None:
        """The child of a fork opens connections of its own. It is called there by itself."""
        self._probing = threading.Lock()
        start_afresh(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A client is neither pickled nor copied. Make one where it is used.")

    def __repr__(self) -> str:
        return f"Client({self._core!r})"
