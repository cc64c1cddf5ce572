"""One scrape: this process's totals, those that the others have left, and what the database knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alikassa.server.metrics.asked import AskedOfDatabase
from alikassa.server.metrics.exposition import expose
from alikassa.server.metrics.folder import Reading
from alikassa.server.metrics.leaving import LeavingTotals
from alikassa.server.metrics.operator import OperatorTotals
from alikassa.server.metrics.samples import Totals, add_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alikassa.ledger.books import Books
    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader
    from alikassa.server.settings import Settings

__all__ = ["Scrape"]


class Scrape:
    """In the operator's process, which leaves its own totals too: another may take its place."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        books: Books,
        reader: AccountReader,
        failed: Callable[[OSError], None],
        statuses: Mapping[int, int],
    ) -> None:
        self.totals = OperatorTotals(books, settings.workers, statuses)
        self._asked = AskedOfDatabase(database, reader)
        self._one_at_a_time = asyncio.Lock()
        folder = settings.metrics_folder
        self._reading = None if folder is None else Reading(folder)
        self._leaving = None if folder is None else LeavingTotals(folder, self.totals.gather, failed)

    def start(self) -> None:
        if self._leaving is not None:
            self._leaving.start()

    async def take(self, accept: str) -> tuple[bytes, str]:
        """The body, and its content type."""
        asked = await self._asked.samples()
        totals = [Totals(self.totals.gather()), Totals(asked)]
        if self._reading is not None and self._leaving is not None:
            # Elsewhere: whoever books must not wait for a slow disk.
            async with self._one_at_a_time:
                totals += await asyncio.to_thread(self._reading.read, without=self._leaving.name)
        return expose(add_up(totals), accept)

    async def close(self) -> None:
        await self._asked.close()
        if self._leaving is not None:
            await self._leaving.close()
