"""On SQLite each of the writer's statements goes to the rows that it names, however many an account has."""

from __future__ import annotations

import re

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.schema import GROWING
from writer_statements import asked_in_the_story

pytestmark = pytest.mark.anyio

_GROWING = "|".join(table.name for table in GROWING)
# Several rows by their keys, and one or several by conditions of their own.
_BY_KEYS = re.compile(rf"CROSS JOIN ({_GROWING}) t\b")
_ALONE = re.compile(rf"(?:FROM|UPDATE|JOIN) ({_GROWING})\b")
_EQUAL = re.compile(r"t\.(\w+) = u\.column")


async def plans_of(url: str) -> dict[str, str]:
    """What the writer asks and changes while every command is booked, and how SQLite goes about each."""
    async with await Database.open(url, create=True) as database:
        asked = await asked_in_the_story(database)
        plans = {}
        async with database.read() as connection:
            for statement, parameters in asked.items():
                if _ALONE.search(statement):
                    found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                    plans[statement] = "\n".join(row.detail for row in found)
    return plans


async def test_rows_are_found_by_all_of_their_keys(sqlite_url: str) -> None:
    """A key whose index SQLite passes by would read all that the account ever had, once a command."""
    seen = set()
    for statement, plan in (await plans_of(sqlite_url)).items():
        if table := _BY_KEYS.search(statement):
            keys = _EQUAL.findall(statement)
            seen.add((table[1], *keys))
            (search,) = (line for line in plan.splitlines() if line.startswith("SEARCH t"))
            assert re.findall(r"(\w+)=\?", search) == keys, f"{statement}\n{plan}"
    journal, payouts = ("journal_entries", "lane", "account_id"), ("payouts", "lane", "account_id")
    assert seen >= {
        *((*journal, "sequence"), (*journal, "kind", "reference"), (*journal, "subject")),
        *((*payouts, "reference"), (*payouts, "sequence", "line"), (*payouts, "state")),
        ("postings", "lane", "account_id", "sequence"),
        ("lots", "lane", "account_id", "sequence", "line"),
    }


async def test_open_lots_are_found_by_their_index(sqlite_url: str) -> None:
    """In whatever order they are drawn: the closed ones, of years, are not read."""
    drawn = {key: plan for key, plan in (await plans_of(sqlite_url)).items() if "lots.open" in key}
    assert {"sequence + ?" in key for key in drawn} == {True, False}
    assert all("COVERING INDEX lots_open_idx (lane=? AND account_id=?" in plan for plan in drawn.values()), drawn


async def test_no_growing_table_is_read_whole(sqlite_url: str) -> None:
    """Neither for what is asked nor for what is changed."""
    plans = await plans_of(sqlite_url)
    assert {"UPDATE", "SELECT"} <= {statement.partition(" ")[0] for statement in plans}
    for statement, plan in plans.items():
        assert not re.search(rf"SCAN (t\b|{_GROWING})", plan), f"{statement}\n{plan}"
