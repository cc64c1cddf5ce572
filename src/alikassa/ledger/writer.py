"""The connection that is kept for writing one transaction after another."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa.ledger.distribution.marker import FIND_ENGINE
from alikassa.ledger.failures import translated
from alikassa.ledger.slow import COMMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from alikassa.ledger.address import Address
    from alikassa.ledger.slow import SlowQueries
    from alikassa.ledger.sqlite_driver import DriverConnection

__all__ = ["Writer"]


class Writer:
    """One connection of the engine's. Making one takes longer than a small batch, so it is kept while it works."""

    def __init__(self, address: Address, engine: AsyncEngine, slow: SlowQueries | None = None) -> None:
        self._address = address
        self._engine = engine
        self._slow = slow
        self._connection: AsyncConnection | None = None
        self._opened: tuple[int, int] | None = None
        # On SQLite: the driver's connection, which we are asked to close when the file was read-only.
        self._driver: DriverConnection | None = None
        self._busy: asyncio.Lock | None = None
        #: The tables are spread over nodes: each statement names its lane, and a transaction should stay on one.
        #: Known once it has connected.
        self.by_lane = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Committed at the end, rolled back on any error; then the connection is given up, whatever its state."""
        async with self._held() as connection:
            async with connection.begin():
                yield connection
                committing = time.monotonic()
            self._address.check_place(self._opened)
        if self._slow is not None:
            self._slow.took(COMMIT, committing)

    async def find_by_lane(self) -> bool:
        """`by_lane`, for whoever has to know it before the first transaction: connects, to find out."""
        if self._connection is None and self._address.sqlite_file is None:
            async with self._held():
                pass
        return self.by_lane

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[AsyncConnection]:
        """The connection, for one at a time. Given up after any error."""
        if self._busy is None:
            self._busy = asyncio.Lock()
        async with self._busy, translated(self._address):
            try:
                yield await self._connect()
                if self._driver is not None:
                    self._driver.is_idle = True
                    if self._driver.opened.is_over:
                        await self._give_up()
            except BaseException:
                await self._give_up()
                raise

    async def _connect(self) -> AsyncConnection:
        if self._connection is not None and not self._is_good(self._connection):
            await self._give_up()
        if self._connection is None:
            self._opened = self._address.identity()
            self._connection = await self._engine.connect()
            if self._address.sqlite_file is None:
                self.by_lane = await self._connection.scalar(sa.text(FIND_ENGINE)) is not None
                await self._connection.rollback()
            else:
                self._driver = (await self._connection.get_raw_connection()).driver_connection
            await self._connection.execution_options(write=True, by_lane=self.by_lane)
        if self._driver is not None:
            self._driver.is_idle = False
        return self._connection

    def _is_good(self, connection: AsyncConnection) -> bool:
        return not connection.closed and (self._driver is None or self._driver.opened.holds())

    async def _give_up(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
