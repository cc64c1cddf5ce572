"""Questions about books that are spread over nodes by lane: their answers, and that each goes to one shard.

As in `test_distribution`, the server's own log tells what it was asked.
"""

from __future__ import annotations

import io
import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import citus_rules
from alikassa.errors import PayoutStateError
from alikassa.ledger import snapshots
from alikassa.ledger.books import Books
from alikassa.ledger.commands import HoldPlace, Payment, PayoutCreate, PayoutFail, PayoutPaid, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.distribution.distributing import distribute
from alikassa.ledger.distribution.marker import FIND_ENGINE
from alikassa.ledger.export import Form, export
from alikassa.ledger.ids import LANES, lane_of
from alikassa.ledger.imports import import_openings
from alikassa.ledger.model import BUCKETS, Account, Bucket, Kind
from alikassa.ledger.questions.accounts import find_accounts
from alikassa.ledger.questions.balance_at import Basis, balance_at
from alikassa.ledger.questions.daily import daily_balances_of
from alikassa.ledger.questions.entry import find_entry
from alikassa.ledger.questions.explain import explain
from alikassa.ledger.questions.finding import merchants_of, search_accounts
from alikassa.ledger.questions.payouts import discrepancies, payouts
from alikassa.ledger.questions.policies import find_policies
from alikassa.ledger.questions.schedule import schedule
from alikassa.ledger.questions.statement import statement, statement_pages
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts
from alikassa.ledger.verify import read_heads, verify
from alikassa.money import SCALE, to_units
from alikassa.server.requests.asking import requests_of
from questions_story import POLICY, MovingClock, day
from spread_books import ask, log_of, not_of_one_lane, statements_in

pytestmark = pytest.mark.anyio

#: Who asks about all accounts asks all shards. Each of these begins a question of that kind.
_OF_ALL_ACCOUNTS = (
    # Pages of accounts, of all merchants or of one.
    r"SELECT accounts\.lane, .* FROM accounts (WHERE accounts\.merchant_id = \$1::UUID )?ORDER BY",
    # Chain heads.
    r"SELECT accounts\.id, accounts\.sequence, accounts\.head FROM accounts ORDER BY",
    # How much there is to verify; references that are there twice; rows in lanes that there are not.
    r"SELECT count\(\*\) AS count_1, coalesce\(sum\(accounts\.sequence\)",
    r"SELECT journal_entries\.account_id, .* GROUP BY .* HAVING count\(\*\) >",
    rf"SELECT t\.lane, .* FROM \w+ t WHERE t\.lane (< 0|>= {LANES}) ORDER BY",
)
_FIRST = uuid.UUID("a0000000-0000-4000-8000-000000000005").int


@dataclass(frozen=True)
class Told:
    """Books with a story, and when it ended."""

    url: str
    accounts: list[Account]
    clock: MovingClock


@pytest.fixture
async def told(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Accounts of several lanes, and on each of them payments day by day, refunds, holds and payouts: some of it is
    due, some falls due later, and one bank has said two things. With snapshots, many."""
    monkeypatch.setattr(snapshots, "EVERY", 4)
    clock = MovingClock(day(-1))
    async with await Database.open(postgresql_url, create=True) as database:
        registry, books = Registry(database, clock), Books(database, clock)
        merchant = await registry.add_merchant("Shop")
        # Two at least are not of one lane, and two of them are.
        opened = [
            (await registry.open_account(merchant.id, "RUB", uuid.UUID(int=_FIRST + n))).id for n in (0, 1, LANES)
        ]
        await books.book_together([SetPolicy(one, POLICY, "terms") for one in opened])
        for number in range(12):
            clock.at = day(number)
            await books.book_together([Payment(one, (100 + n) * SCALE, f"p{number}") for n, one in enumerate(opened)])
        earlier = day(5.5)
        for one in opened:
            clock.at += timedelta(hours=1)
            await books.book(Refund(one, "p1", SCALE, "r1", effective_at=earlier))
            await books.book(HoldPlace(one, 2 * SCALE, "h1", reason="a doubt"))
            for name in ("o1", "o2"):
                await books.book(PayoutCreate(one, 3 * SCALE, name))
            await books.book(PayoutPaid(one, "o1"))
        with pytest.raises(PayoutStateError):
            await books.book(PayoutFail(opened[0], "o1"))
        clock.at += timedelta(days=2)
        found = list(await registry.accounts())
    return Told(postgresql_url, found, clock)


async def spread(told: Told) -> None:
    await citus_rules.install(told.url, nodes=3)
    async with await Database.open(told.url) as database:
        await distribute(database)


async def of_account(database: Database, account: Account, clock: MovingClock) -> list[Any]:
    """What can be asked about one account."""
    one, start, end = account.id, day(2), day(9.5)
    answers: list[Any] = [
        await statement(database, one),
        await statement(database, one, start=start, end=end, limit=3),
        await statement(database, one, start=start, kinds=[Kind.REFUND, Kind.PAYOUT_PAID], newest=True),
        await statement(database, one, reference="p3"),
        [page async for page in statement_pages(database, one, start=start, end=end)],
        await explain(database, one, now=clock),
        await schedule(database, one, now=clock),
        await payouts(database, one, now=clock),
        await discrepancies(database, one),
        await find_policies(database, one),
        await find_entry(database, one, 3),
        await search_accounts(database, beginning=str(one)),
        await verify(database, account=one),
        await read_heads(database, one),
        await requests_of(database, [one]),
    ]
    for at in (None, day(-3), day(3.5), day(9), day(400)):
        answers += [await balance_at(database, one, at=at, by=by, now=clock) for by in Basis]
    return answers


async def of_some(database: Database, told: Told) -> list[Any]:
    """What is asked about each account, and about several."""
    ids = [one.id for one in told.accounts]
    answers = [await of_account(database, one, told.clock) for one in told.accounts]
    return [
        *answers,
        await daily_balances_of(database, ids, days=14, now=told.clock),
        await merchants_of(database, ids),
    ]


async def of_all(database: Database, told: Told) -> list[Any]:
    """What is asked about all accounts."""
    out = io.StringIO()
    return [
        await verify(database),
        await export(database, Form.JSONL, out),
        out.getvalue(),
        await read_heads(database),
        await find_accounts(database, now=told.clock),
        await find_accounts(database, told.accounts[0].merchant, now=told.clock),
    ]


def asked_all_shards(log: str) -> list[str]:
    return not_of_one_lane(log, 10)


async def test_questions_about_accounts_go_to_one_shard_each(told: Told) -> None:
    """Statements, past and daily balances, schedules, explanations and all else: answered as before the books were
    spread, and each statement names the lane of each table in it, in sub-queries too."""
    async with await Database.open(told.url) as database:
        before = await of_some(database, told)
    # The story is one of which these have something to tell.
    assert all(one[6].days and one[6].by_hand[Bucket.HOLD] for one in before[: len(told.accounts)])
    assert len(before[0][8].discrepancies) == 1
    await spread(told)
    log = await log_of(told.url)
    begun = log.stat().st_size
    # Unseen, as a worker of the server's opens it.
    database = Database.attach(told.url)
    try:
        assert await of_some(database, told) == before
    finally:
        await database.close()
    written = log.read_text()[begun:]
    assert asked_all_shards(written) == []
    # It is not asked anew by each connection whether they are spread.
    assert statements_in(written).count(FIND_ENGINE) == 1


async def test_questions_about_all_accounts_are_few(told: Told) -> None:
    """The books are verified and exported as before they were spread, lane by lane; what asks all shards is known."""
    async with await Database.open(told.url) as database:
        before = await of_all(database, told)
        assert not before[0].problems
    await spread(told)
    log = await log_of(told.url)
    begun = log.stat().st_size
    async with await Database.open(told.url) as database:
        assert await of_all(database, told) == before
    asked = asked_all_shards(log.read_text()[begun:])
    assert [one for one in asked if not any(re.match(kind, one) for kind in _OF_ALL_ACCOUNTS)] == []
    assert all(any(re.match(kind, one) for one in asked) for kind in _OF_ALL_ACCOUNTS)


async def test_rows_in_lanes_that_there_are_not_are_read_too(told: Told) -> None:
    """Of books that are spread as of others: accounts below all lanes and above them are problems."""
    names = [column.name for column in accounts.columns]
    copied = ", ".join({"lane": "{}", "id": "gen_random_uuid()"}.get(name, name) for name in names)
    insert = f"INSERT INTO accounts ({', '.join(names)}) SELECT {copied} FROM accounts LIMIT 1"
    await ask(told.url, insert.format(-1), insert.format(LANES))
    async with await Database.open(told.url) as database:
        before = await verify(database)
    assert [lane for lane in (-1, LANES) if any(f"in lane {lane}," in one.what for one in before.problems)] == [
        -1,
        LANES,
    ]
    await spread(told)
    async with await Database.open(told.url) as database:
        assert await verify(database) == before


async def test_openings_are_imported_lane_by_lane(told: Told, tmp_path: Path) -> None:
    """A file for accounts of all lanes is booked once, into the right ones, by statements that each name a lane."""
    await spread(told)
    async with await Database.open(told.url) as database:
        registry = Registry(database)
        merchant = await registry.add_merchant("Other")
        opened = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(8)]
    assert len({lane_of(one) for one in opened}) > 1
    rows = [f"{one},balance,{n}.00,,," for n, one in enumerate(opened, 1)]
    file = tmp_path / "openings.csv"
    file.write_text("\n".join(["account,item,amount,due_at,reference,fee", *rows, ""]))
    log = await log_of(told.url)
    begun = log.stat().st_size
    async with await Database.open(told.url) as database:
        assert (await import_openings(database, file, reference="old books")).booked == 8
        assert (await import_openings(database, file, reference="old books")).repeated == 8
    assert asked_all_shards(log.read_text()[begun:]) == []
    async with await Database.open(told.url) as database:
        for n, one in enumerate(opened, 1):
            found = await balance_at(database, one)
            assert [found.buckets[bucket] for bucket in BUCKETS] == [to_units(str(n)), 0, 0, 0]
        assert not (await verify(database)).problems
