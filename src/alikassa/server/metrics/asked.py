"""What only the database knows, asked when somebody scrapes: seldom, once at a time, and not waited for long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.errors import DatabaseError
from alikassa.ledger.schema import discrepancies
from alikassa.ledger.verify.past import last_verification
from alikassa.server.metrics import families
from alikassa.server.metrics.samples import counted

if TYPE_CHECKING:
    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader
    from alikassa.server.metrics.samples import Sample

__all__ = ["ASK_SECONDS", "AskedOfDatabase"]

#: How long a scrape waits for the database.
ASK_SECONDS = 2.0
# An answer is good for so long: several who scrape ask together.
_FRESH_SECONDS = 2.0
_MOST_DISCREPANCIES = 1000


class AskedOfDatabase:
    """For one event loop."""

    def __init__(self, database: Database, reader: AccountReader) -> None:
        self._database = database
        self._reader = reader
        self._asking: asyncio.Task[list[Sample]] | None = None
        self._answer: list[Sample] = []
        self._answered_at = float("-inf")

    async def samples(self) -> list[Sample]:
        """Whether it is up, and, when it is, what it knows. What does not answer in time is not up."""
        if time.monotonic() - self._answered_at < _FRESH_SECONDS:
            return self._answer
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        asking = self._asking
        # Not cancelled when it takes long: SQLite's driver cannot be, and the next scrape shall not ask beside it.
        await asyncio.wait([asking], timeout=ASK_SECONDS)
        return asking.result() if asking.done() and not asking.cancelled() else _DOWN

    async def _ask(self) -> list[Sample]:
        try:
            self._answer = await self._look()
        except DatabaseError:
            self._answer = _DOWN
        finally:
            self._asking = None
        self._answered_at = time.monotonic()
        return self._answer

    async def _look(self) -> list[Sample]:
        # As /readyz asks.
        await self._reader.ping()
        some = sa.select(discrepancies.c.lane).where(discrepancies.c.closed_sequence.is_(None))
        some = some.limit(_MOST_DISCREPANCIES)
        async with self._database.read() as connection:
            count = await connection.scalar(sa.select(sa.func.count()).select_from(some.subquery()))
        verified = await last_verification(self._database)
        found = [counted(families.DATABASE_UP, 1), counted(families.DISCREPANCIES, count or 0)]
        if verified is not None:
            found.append(counted(families.VERIFIED_AT, verified.finished_at.timestamp()))
            found.append(counted(families.VERIFIED_WRONG, verified.wrong))
        return found

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


_DOWN = [counted(families.DATABASE_UP, 0)]
