"""On PostgreSQL, too, each of the writer's statements goes to the rows that it names, however many an account has.

The books are such that the average account has next to nothing, where one index that begins with lane and account
looks as good to the planner as any other: the busy account among them would be read whole, once a command.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from alikassa.ledger import reader_postgresql
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, PayoutCreate, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.ids import lane_of
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE
from books_story import FIRST, POLICY
from writer_statements import asked_in_the_story

pytestmark = pytest.mark.anyio

_QUIET, _MANY = 300, 500
_SEVERAL = ("journal_entries", "lots", "payouts")
_BY_KEYS = re.compile(rf"(?:JOIN|UPDATE) ({'|'.join(_SEVERAL)}) t\b")
_EQUAL = re.compile(r"t\.(\w+) = u\.c\d")


async def _add_accounts(database: Database) -> None:
    """Payments that hold, and payouts: one each for many accounts, and many for one."""
    registry, books = Registry(database), Books(database)
    merchant = await registry.add_merchant("Quiet and busy")
    quiet = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(_QUIET)]
    busy = (await registry.open_account(merchant.id, "RUB")).id
    for commands in (
        [SetPolicy(account, POLICY, "terms") for account in (*quiet, busy)],
        [Payment(account, 100 * SCALE, "order-0") for account in quiet],
        [Payment(busy, 100 * SCALE, f"order-{n}") for n in range(_MANY)],
        [PayoutCreate(account, SCALE, "payout-0") for account in quiet],
        [PayoutCreate(busy, SCALE, f"payout-{n}") for n in range(_MANY)],
    ):
        await asyncio.gather(*[books.book(command) for command in commands])


async def plans_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """The writer's statements, and where PostgreSQL finds rows for each in such books."""
    async with await Database.open(url, create=True) as database:
        asked = await asked_in_the_story(database)
        await _add_accounts(database)
        async with database.write() as connection:
            await connection.execute(sa.text("ANALYZE"))
        plans = {}
        async with database.writer().transaction() as connection:
            for statement, parameters in asked.items():
                if re.search(rf"\b({'|'.join(_SEVERAL)})\b", statement):
                    found = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                    (plan,) = found.scalar_one()
                    plans[statement] = list(_scans(plan["Plan"]))
    return plans


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node.get("Relation Name") in _SEVERAL and "Scan" in node["Node Type"]:
        yield node
    for below in node.get("Plans", ()):
        yield from _scans(below)


async def test_rows_are_found_by_all_of_their_keys(postgresql_url: str) -> None:
    """And no further condition is left that rows would be read for."""
    seen = set()
    for statement, scans in (await plans_of(postgresql_url)).items():
        if table := _BY_KEYS.search(statement):
            keys = _EQUAL.findall(statement.partition(" WHERE ")[2] if "UPDATE" in statement else statement)
            seen.add((table[1], *keys))
            (scan,) = [one for one in scans if one["Relation Name"] == table[1]]
            # A bitmap is made by a node of its own.
            (index,) = [one for one in (scan, *scan.get("Plans", ())) if "Index Cond" in one]
            found = set(re.findall(r"(\w+) = u\.c\d", index["Index Cond"]))
            assert found == set(keys), f"{statement}\n{json.dumps(scan, indent=1)}"
    journal, payouts = ("journal_entries", "lane", "account_id"), ("payouts", "lane", "account_id")
    assert seen >= {
        *((*journal, "sequence"), (*journal, "kind", "reference"), (*journal, "subject")),
        *((*payouts, "reference"), (*payouts, "sequence", "line"), (*payouts, "state")),
        ("lots", "lane", "account_id", "sequence", "line"),
    }


async def test_open_lots_are_found_by_their_index(postgresql_url: str) -> None:
    """The closed ones, of years, are not read: neither by the writer nor for a balance."""
    drawn = [scan for key, scans in (await plans_of(postgresql_url)).items() if "lots.open" in key for scan in scans]
    assert len(drawn) >= 3
    assert {one["Index Name"] for one in drawn} == {"lots_open_idx"}
    async with await Database.open(postgresql_url) as database, database.writer().transaction() as connection:
        given = (f"{{{lane_of(FIRST)}}}", f"{{{FIRST}}}", datetime.now(UTC))
        found = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {reader_postgresql._DUE}", given)
        (plan,) = found.scalar_one()
    assert [one["Index Name"] for one in _scans(plan["Plan"])] == ["lots_open_idx"] * 2
