"""What was refused lately over all accounts."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.ids import lane_of
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import requests
from alikassa.server.requests.kept import NOBODY, Outcome
from alikassa.server.requests.lately import refused_lately

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def keep(database: Database, account: uuid.UUID, name: str, minutes: int, outcome: Outcome) -> None:
    """A request so many minutes after noon, named by its user agent."""
    at = NOON + timedelta(minutes=minutes)
    values = {
        "lane": lane_of(account),
        "account_id": account,
        "verified": outcome is not Outcome.REFUSED,
        "id": uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 5),
        "at": at,
        "endpoint": "/",
        "status": 400,
        "outcome": outcome.value,
        "reason": "",
        "digest": "",
        "micros": 1,
        "address": "",
        "user_agent": name,
        "others": 0,
    }
    async with database.write() as connection:
        await connection.execute(requests.insert().values(values))


async def test_the_last_that_were_refused_come_first(migrated_url: str) -> None:
    """Of any account there is, verified or not; none that was answered, none that named no account, none of before."""
    async with await Database.open(migrated_url) as database:
        merchant = await Registry(database).add_merchant("Shop")
        one, two = [(await Registry(database).open_account(merchant.id, "RUB")).id for _ in range(2)]
        for account, name, minutes, outcome in (
            (one, "before", -1, Outcome.REFUSED),
            (one, "at noon", 0, Outcome.REFUSED),
            (two, "malformed", 2, Outcome.MALFORMED),
            (one, "answered", 3, Outcome.OK),
            (NOBODY, "nobody's", 4, Outcome.REFUSED),
            (one, "last", 5, Outcome.REFUSED),
        ):
            await keep(database, account, name, minutes, outcome)
        found = await refused_lately(database, NOON)
        assert [(one.user_agent, one.verified) for one in found] == [
            *(("last", False), ("malformed", True), ("at noon", False)),
        ]
        assert found[1].account == two
        assert [one.user_agent for one in await refused_lately(database, NOON, limit=1)] == ["last"]
