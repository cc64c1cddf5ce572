"""Running a command's work on the books."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["on_database"]

Result = TypeVar("Result")


def on_database(
    url: str, work: Callable[[Database], Awaitable[Result]], *, create: bool = False, migrate: bool = False
) -> Result:
    """What `work` makes of the database at `url` (see `Database.open`)."""
    import asyncio

    from alikassa.ledger.database import Database

    async def run() -> Result:
        async with await Database.open(url, create=create, migrate=migrate) as database:
            return await work(database)

    return asyncio.run(run())
