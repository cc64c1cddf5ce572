"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import anyio
import anyio.lowlevel

from alikassa.client.call import Call
from alikassa.client.checks import check_transport
from alikassa.client.core import ATTEMPT_TIMEOUT, ATTEMPTS, BASE_URL, TIMEOUT, Core
from alikassa.client.forking import follow_forks, start_afresh
from alikassa.errors import AlikassaError, DeadlineExceededError

if TYPE_CHECKING:
    import os
    import uuid
    from collections.abc import Callable
    from concurrent.futures import Future

    from alikassa.client.events import Event
    from alikassa.client.wire import AsyncTransport, Incoming, Outgoing, Secret
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["AsyncClient"]


class AsyncClient:
    """As `Client`, for asyncio: `await client.balance()`. Tasks of one event loop may share it;
    in another event loop it opens new connections. `on_event` is an ordinary function."""

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
        transport: AsyncTransport | None = None,
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
            # See Client.
            from alikassa.client.transport import AsyncPoolTransport

            transport = AsyncPoolTransport(self._core.url, ca_bundle, proxy, http2=http2)
        self._transport = transport
        self._loop: object = None
        self._probing = anyio.Lock()
        follow_forks(self)

    @property
    def digest(self) -> Digest | None:
        """See `Client.digest`."""
        return self._core.signing.digest

    async def balance(self, *, timeout: float | None = None) -> Balance:  # noqa: ASYNC109 - a call's own setting
        """See `Client.balance`."""
        with Call(self._core, timeout) as call:
            if not self._core.signing.undecided:
                return await self._ask(call)
            # One call finds out which digest the server takes; the others wait for what it finds.
            probing = self._lock()
            with anyio.move_on_after(call.remaining) as waiting:
                await probing.acquire()
            if waiting.cancelled_caught:
                call.expired()
            try:
                if self._core.signing.undecided:
                    return await self._ask(call)
            finally:
                probing.release()
            return await self._ask(call)

    async def _ask(self, call: Call) -> Balance:
        while True:
            try:
                signature = call.begin()
                if signature is not None:
                    await _wait(signature, call.left)
                outgoing = call.outgoing()
                return call.understand(await self._send(outgoing, call))
            except AlikassaError as error:
                pause = call.failed(error)
            await anyio.sleep(pause)

    async def _send(self, outgoing: Outgoing, call: Call) -> Incoming:
        with anyio.move_on_after(call.left):
            return await self._transport.send(outgoing)
        raise DeadlineExceededError("The attempt's time is over.")

    def _lock(self) -> anyio.Lock:
        """The lock of this event loop: one that tasks of another loop waited for is of no use in it."""
        loop = anyio.lowlevel.current_token()
        if self._loop != loop:
            self._loop, self._probing = loop, anyio.Lock()
        return self._probing

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def after_fork(self) -> None:
        """See `Client.after_fork`."""
        start_afresh(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A client is neither pickled nor copied. Make one where it is used.")

    def __repr__(self) -> str:
        return f"AsyncClient({self._core!r})"


async def _wait(signature: Future[Secret], seconds: float) -> None:
    """Until it is done, at most so long. What it raised is for who looks at it."""
    with anyio.move_on_after(seconds), suppress(Exception):
        await asyncio.wrap_future(signature)
