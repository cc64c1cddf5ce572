"""The client for programs with an event loop."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Self

import anyio

from alikassa.client.core import ATTEMPTS, BASE_URL, TIMEOUT, Core
from alikassa.client.transport import AsyncPoolTransport
from alikassa.errors import AlikassaError

if TYPE_CHECKING:
    import os
    import uuid

    from alikassa.client.transport import AsyncTransport
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["AsyncClient"]


class AsyncClient:
    """As `Client`, for asyncio: `await client.balance()`. Tasks of one event loop may share it;
    in another event loop it opens new connections."""

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
        last: AlikassaError | None = None
        with anyio.move_on_after(seconds):
            for attempt in count(1):
                try:
                    incoming = await self._transport.send(outgoing)
                    return core.understand(incoming.status, incoming.headers, incoming.body)
                except AlikassaError as error:
                    last = error
                    wait = core.wait(error, attempt, deadline - time.monotonic())
                    if wait is None:
                        raise
                await anyio.sleep(wait)
        raise core.too_late(seconds) from last

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._core!r})"
