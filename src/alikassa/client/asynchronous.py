"""The client for programs with an event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import anyio
import stamina

from alikassa.client.core import ATTEMPTS, BASE_URL, TIMEOUT, Core
from alikassa.client.transport import AsyncPoolTransport
from alikassa.errors import DeadlineExceededError

if TYPE_CHECKING:
    import os
    import uuid

    from alikassa.client.transport import AsyncTransport
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["AsyncClient"]


class AsyncClient:
    """As `Client`, for asyncio and trio: `await client.balance()`. Tasks of one event loop may share it."""

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
        transport: AsyncTransport | None = None,
    ) -> None:
        self._core = Core(
            account, keys, base_url=base_url, digest=digest, body=body, timeout=timeout, attempts=attempts
        )
        self._transport = transport or AsyncPoolTransport(self._core.url, ca_bundle, proxy)

    async def balance(self, *, timeout: float | None = None) -> Balance:  # noqa: ASYNC109 - a call's own setting
        """See `Client.balance`."""
        core = self._core
        seconds = core.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        outgoing = core.outgoing()
        last: Exception | None = None

        def again(error: Exception) -> bool | float:
            nonlocal last
            last = error
            return core.wait(error, deadline - time.monotonic())

        with anyio.move_on_after(seconds):
            async for attempt in stamina.retry_context(again, attempts=core.attempts, timeout=seconds):
                with attempt:
                    incoming = await self._transport.send(outgoing)
                    return core.understand(incoming.status, incoming.headers, incoming.body)
        raise DeadlineExceededError(
            f"No answer within {seconds:g} seconds from {core.url}.", remedy="Try again, or give a longer timeout."
        ) from last

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._core!r})"
