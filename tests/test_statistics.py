"""PostgreSQL's planner knows of books that have grown within a minute."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.privileges import grant_server
from alikassa.ledger.statistics import refresh_statistics
from conftest import open_shop

pytestmark = pytest.mark.anyio

_LOOKUP = """
EXPLAIN (FORMAT JSON) SELECT t.hash
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) AS u (lane, account, kind, reference)
JOIN journal_entries t ON t.lane = u.lane AND t.account_id = u.account AND t.kind = u.kind AND t.reference = u.reference
"""


async def _condition(url: str, account: str) -> str:
    """By what a payment's reference is looked up, as the writer does it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off")
        lane = uuid.UUID(account).int % 64
        (plan,) = json.loads(await connection.fetchval(_LOOKUP, [lane], [account], ["payment"], ["order-1"]))
    finally:
        await connection.close()

    def conditions(node: dict[str, object]) -> list[str]:
        below = node.get("Plans", [])
        assert isinstance(below, list)
        return [str(node.get("Index Cond", "")), *[one for each in below for one in conditions(each)]]

    return " ".join(conditions(plan["Plan"]))


async def test_statistics_follow_fast_books(postgresql_url: str, archives: Callable[[str], Path]) -> None:
    """After a thousand payments within seconds a reference is looked up by itself, and not among all of the account's;
    made by the role that serves, and only when the tables have outgrown the last ones."""
    shop = await open_shop(postgresql_url, archives("payout"), archives("payment"))
    role = f"server_{uuid.uuid4().hex[:8]}"
    async with await Database.open(postgresql_url) as owner:
        async with owner.write() as connection:
            await connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
        await grant_server(owner, role)
        books = Books(owner)
        await asyncio.gather(*[books.book(Payment(uuid.UUID(shop.account), 100, f"order-{n}")) for n in range(1000)])
    served = postgresql_url.replace("postgres:@", f"{role}@", 1)
    assert role in served
    async with await Database.open(served) as database:
        until = asyncio.get_running_loop().time() + 10
        refreshed: list[str] = []
        while "journal_entries" not in refreshed:  # what was done is reported with a delay
            assert asyncio.get_running_loop().time() < until
            refreshed += await refresh_statistics(database)
            await asyncio.sleep(0.1)
        assert "reference" in await _condition(postgresql_url, shop.account)
        assert "journal_entries" not in await refresh_statistics(database)


async def test_sqlite_needs_none(sqlite_shop: object, sqlite_url: str) -> None:
    async with await Database.open(sqlite_url) as database:
        assert await refresh_statistics(database) == []
