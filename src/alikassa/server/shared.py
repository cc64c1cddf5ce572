"""One check for all who ask at the same time, so that nobody can have many made."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Shared"]

#: How old what a check found may be, in seconds.
FRESH_SECONDS = 0.2


class Shared:
    """For one event loop. `check` returns, or raises what is wrong; so does calling this."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = 0.0

    async def __call__(self) -> None:
        if self._checking is None or (self._checking.done() and time.monotonic() - self._checked_at >= FRESH_SECONDS):
            self._checking = asyncio.get_running_loop().create_task(self._run())
        # That one of those who ask goes away must not end it for the others.
        await asyncio.shield(self._checking)

    async def _run(self) -> None:
        try:
            await self._check()
        finally:
            self._checked_at = time.monotonic()
