"""Leaves a process's totals in the folder, once a second, for as long as it works. Costs nothing but metrics when that
fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alikassa.server.metrics.folder import Leaving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alikassa.server.metrics.samples import Sample

__all__ = ["PAUSE_SECONDS", "LeavingTotals"]

#: The pause between two writes, in seconds.
PAUSE_SECONDS = 1.0
_CLOSE_SECONDS = 2.0


class LeavingTotals:
    """`gather` gives this process's totals; `failed` is told of the first of several failures to write them."""

    def __init__(self, folder: Path, gather: Callable[[], list[Sample]], failed: Callable[[OSError], None]) -> None:
        self._folder = folder
        self._gather = gather
        self._failed = failed
        self._leaving: Leaving | None = None
        self._troubled = False
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """By which the folder's reader knows this process; "" before it has left anything."""
        return "" if self._leaving is None else self._leaving.name

    def start(self) -> None:
        self._write(self._gather())
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)
            except TimeoutError:
                # Elsewhere: a disk that is slow must not keep the balance endpoint waiting.
                await asyncio.to_thread(self._write, self._gather())

    def _write(self, samples: list[Sample]) -> None:
        try:
            if self._leaving is None:
                self._leaving = Leaving(self._folder)
            self._leaving.write(samples)
            self._troubled = False
        except OSError as error:
            if not self._troubled:
                self._failed(error)
            self._troubled = True

    async def close(self) -> None:
        """What was counted last is left too, unless the disk takes too long."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            if not self._task.done():
                self._task.cancel()
                return
        self._write(self._gather())
        if self._leaving is not None:
            self._leaving.close()
