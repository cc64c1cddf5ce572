"""What is drawn from more open lots than are asked for at first: the same ones, in the same order."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from alikassa.ledger import loading
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, Chargeback, Payment, PayoutCreate, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import lots
from alikassa.ledger.verify import verify

pytestmark = pytest.mark.anyio

_HALF = 50 * 10**8


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


@pytest.fixture(params=[1, loading.FIRST_LOTS])
def _first_lots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "FIRST_LOTS", request.param)


@pytest.fixture
async def account(database: Database, _first_lots: None) -> uuid.UUID:
    """A hundred reserves of 5 that are due in ten days, a hundred later ones that are due in five, one of 1000."""
    registry = Registry(database)
    opened = (await registry.open_account((await registry.add_merchant("Shop")).id, "RUB")).id
    books = _books(database)
    for days in (10, 5):
        await books.book(SetPolicy(opened, Policy(reserve_percent=_HALF, reserve_days=days), f"in-{days}"))
        await books.book_together([Payment(opened, 10, f"{days}-{number}") for number in range(100)])
    await books.book(Payment(opened, 2000, "large"))
    return opened


def _books(database: Database) -> Books:
    return Books(database, lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_chargeback_draws_on_the_oldest_reserves(database: Database, account: uuid.UUID) -> None:
    """Of 1703 the payment's own reserve is 1000 and the balance is spent: 703 are 140 lots of 5, and 3 of the next."""
    books = _books(database)
    await books.book(PayoutCreate(account, 2000, "everything"))
    booked = await books.book(Chargeback(account, "large", 1703, "lost"))
    assert booked.account.buckets[Bucket.ROLLING_RESERVE] == 297
    assert await _reserves(database) == [(10, 0)] * 100 + [(5, 0)] * 40 + [(5, 2)] + [(5, 5)] * 59 + [(5, 0)]
    assert not (await verify(database)).problems


async def test_an_adjustment_draws_on_what_is_released_next(database: Database, account: uuid.UUID) -> None:
    """Of 1703 what is held by hand, 70, comes first; then what is due in five days, 1500, and 133 of the older ones."""
    books = _books(database)
    await books.book(Adjustment(account, Bucket.ROLLING_RESERVE, 70, "by-hand", "a test"))
    booked = await books.book(Adjustment(account, Bucket.ROLLING_RESERVE, -1703, "draw", "a test"))
    assert booked.account.buckets[Bucket.ROLLING_RESERVE] == 2000 + 70 - 1703
    assert await _reserves(database) == [
        *([(10, 0)] * 26 + [(10, 2)] + [(10, 5)] * 73),
        *([(5, 0)] * 101 + [(None, 0)]),
    ]
    assert not (await verify(database)).problems


async def _reserves(database: Database) -> list[tuple[int | None, int]]:
    """In how many days each is due, and what remains of it, the oldest first."""
    asked = sa.select(lots.c.due_at, lots.c.remaining).where(lots.c.bucket == Bucket.ROLLING_RESERVE.value)
    async with database.read() as connection:
        rows = (await connection.execute(asked.order_by(lots.c.sequence, lots.c.line))).all()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [(None if row.due_at is None else (row.due_at - start).days, row.remaining) for row in rows]
