"""What the operator's process works with: one database, one writer of its books, one reader."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from alikassa.ledger.books import Books
from alikassa.ledger.database import QUESTION_SECONDS, Database
from alikassa.ledger.reader import AccountReader, reader_for
from alikassa.ledger.statistics import refresh_statistics
from alikassa.ledger.tokens import Tokens
from alikassa.server.log import slow_queries
from alikassa.server.metrics.scrape import Scrape
from alikassa.server.operator.access import Access
from alikassa.server.operator.log import OperatorLog
from alikassa.server.operator.metrics import ScrapeAccess
from alikassa.server.operator.readiness import check_ready
from alikassa.server.operator.turns import Turns
from alikassa.server.shared import Shared
from alikassa.server.web import url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from alikassa.server.settings import Settings
    from alikassa.server.traces.operator import OperatorSpans

__all__ = ["Desk", "open_desk"]

# Between two looks at whether statistics are needed, and after making them has failed.
_STATISTICS_SECONDS = 3.0
_STATISTICS_AGAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Desk:
    """One for the process."""

    url: str = field(repr=False)
    database: Database
    books: Books
    reader: AccountReader
    access: Access
    log: OperatorLog
    scrape: Scrape
    #: Who may scrape, also while the database is away.
    scrapers: ScrapeAccess
    #: Whether it can book.
    ready: Shared
    #: Where merchants' programs reach the server.
    public_url: str = ""
    #: Requests under one Idempotency-Key take turns.
    turns: Turns = field(default_factory=Turns)
    #: Reading all of the books is for one at a time.
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)


@asynccontextmanager
async def open_desk(
    settings: Settings, statuses: Mapping[int, int], spans: OperatorSpans | None = None
) -> AsyncIterator[Desk]:
    """The desk, with its sweeper at work. `statuses`: how many requests were answered with each."""
    # Unseen, as in the merchants' workers: if the database is away now, that is answered request by request.
    slow = slow_queries(settings.slow_seconds)
    database = Database.attach(settings.database, slow, seconds=QUESTION_SECONDS)
    log = OperatorLog()
    books, reader = Books(database), reader_for(database)
    if slow is not None:
        reader.counts.watches += (slow,)
    if spans is not None:
        spans.start()
        books.counts.watches += (spans.work,)
        reader.counts.watches += (spans.work,)
    access = Access(Tokens(database), log)
    desk = Desk(
        settings.database,
        database,
        books,
        reader,
        access,
        log,
        Scrape(settings, database, books, reader, log.metrics_failed, statuses),
        ScrapeAccess(access),
        Shared(partial(check_ready, database, books, reader)),
        settings.public_url or url_of(settings.host, settings.port, tls=settings.tls_cert is not None),
    )
    desk.scrape.start()
    around = nullcontext if spans is None else spans.sweep
    work = (_sweep(desk, settings.sweep_seconds, around), _keep_statistics(desk), _end_orphaned())
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield desk
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await desk.access.close()
        await desk.scrape.close()
        await desk.reader.close()
        await database.close()
        if spans is not None:
            await asyncio.to_thread(spans.stop)


async def _sweep(desk: Desk, seconds: float, around: Callable[[], AbstractContextManager[None]]) -> None:
    """Housekeeping, for as long as the process lives: whatever goes wrong is tried again."""
    while True:
        try:
            with around():
                swept = await desk.books.sweep()
        except Exception as error:  # a sweep must not end the process, nor a defect in it end the sweeping
            desk.scrape.totals.sweep_failed()
            desk.log.sweep_failed(error)
        else:
            desk.scrape.totals.swept(swept)
            if swept:
                desk.log.swept(swept)
        await asyncio.sleep(seconds)


async def _keep_statistics(desk: Desk) -> None:
    """As `_sweep`, for what PostgreSQL knows of books that grow fast."""
    while True:
        try:
            await refresh_statistics(desk.database)
        except Exception as error:  # as above
            desk.log.statistics_failed(error)
            await asyncio.sleep(_STATISTICS_AGAIN_SECONDS)
        await asyncio.sleep(_STATISTICS_SECONDS)


async def _end_orphaned() -> None:
    """End this process when the one that started it is gone: it would keep the port."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(os.getpid(), signal.SIGTERM)
