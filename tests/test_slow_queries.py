"""Statements that take long are told of, on both engines; what they were asked with is not."""

from __future__ import annotations

import asyncio
import errno
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.errors import DatabaseError
from alikassa.ledger.asking import ASKING, fields_of
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.reader import reader_for
from alikassa.ledger.slow import COMMIT, JOINED_READ, SlowQueries, SlowQuery
from conftest import PAGE_ACCOUNT, Shop, open_shop

pytestmark = pytest.mark.anyio

SECRET = "4b1d-not-for-logs"
# Some 0.3 s of work, with a parameter.
SLOW = {
    "postgresql": "SELECT pg_sleep(0.3), CAST(:secret AS text)",
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000)"
    " SELECT max(i), :secret FROM n",
}


class Named(NamedTuple):
    """A request."""

    request_id: str
    trace_id: str = ""
    span: None = None


def engine_of(url: str) -> str:
    return url.partition(":")[0]


@pytest.fixture
def told() -> list[SlowQuery]:
    return []


@pytest.fixture
async def slow(shop: Shop, told: list[SlowQuery]) -> AsyncIterator[Database]:
    """The shop's books; what takes 0.2 s is told."""
    async with Database.attach(shop.database, SlowQueries(0.2, told.append)) as database:
        yield database


@pytest.fixture
async def postgresql(postgresql_url: str, anyio_backend: str, told: list[SlowQuery]) -> AsyncIterator[Database]:
    """Books without anything in them; what takes 0.2 s is told."""
    await (await Database.open(postgresql_url, create=True)).close()
    async with Database.attach(postgresql_url, SlowQueries(0.2, told.append)) as database:
        yield database


@pytest.fixture
async def watched(shop: Shop, told: list[SlowQuery]) -> AsyncIterator[Database]:
    """The shop's books; everything is told."""
    async with Database.attach(shop.database, SlowQueries(0, told.append)) as database:
        yield database


async def test_a_slow_statement_is_told_without_its_parameters(
    shop: Shop, slow: Database, told: list[SlowQuery]
) -> None:
    """Its text, how long it took, and for whom; quick ones are not told."""
    ASKING.set((Named("one"),))
    async with slow.read() as connection:
        await connection.execute(sa.text("SELECT 1"))
        await connection.execute(sa.text(SLOW[engine_of(shop.database)]), {"secret": SECRET})
    (query,) = told
    assert query.statement.startswith(SLOW[engine_of(shop.database)][:20])
    assert 0.2 <= query.seconds < 10
    assert (query.failed, fields_of(query.askers)) == ("", {"request_id": "one"})
    assert SECRET not in repr(told)


async def test_a_statement_that_failed_slowly_is_told(postgresql: Database, told: list[SlowQuery]) -> None:
    """With the error's type, not its text."""

    async def wait() -> None:
        async with postgresql.read() as connection:
            await connection.execute(sa.text("SET LOCAL statement_timeout = '250ms'"))
            await connection.execute(sa.text("SELECT pg_sleep(5), CAST(:secret AS text)"), {"secret": SECRET})

    with pytest.raises(DatabaseError):
        await wait()
    (query,) = told
    assert query.statement.startswith("SELECT pg_sleep(5)")
    assert query.failed == "QueryCanceledError"
    assert SECRET not in repr(told)


async def test_a_slow_commit_is_told(postgresql: Database, told: list[SlowQuery]) -> None:
    """What the database does at the commit is nobody's statement."""
    async with postgresql.write() as connection:
        for statement in (
            "CREATE TABLE slowly (i int)",
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END'",
            "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON slowly DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slowly()",
        ):
            await connection.execute(sa.text(statement))
    for transaction in (postgresql.write, postgresql.writer().transaction):
        told.clear()
        async with transaction() as connection:
            await connection.execute(sa.text("INSERT INTO slowly VALUES (1)"))
        assert [query.statement for query in told] == [COMMIT]


async def test_a_batch_is_told_with_all_whom_it_books_for(watched: Database, told: list[SlowQuery]) -> None:
    """Every statement of the writer's, and its commit; and the next batch has nothing of the first one's."""
    books = Books(watched)

    async def book(name: str) -> None:
        ASKING.set((Named(name),))
        await books.book(Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.BALANCE, 10**8, name, SECRET))

    await asyncio.gather(*[asyncio.create_task(book(name)) for name in ("a", "b", "c")])
    assert told[-1].statement == COMMIT
    assert {tuple(one.request_id for one in query.askers) for query in told} == {("a", "b", "c")}
    assert fields_of(told[-1].askers) == {"request_ids": ["a", "b", "c"]}
    told.clear()
    await asyncio.create_task(book("d"))
    assert {tuple(one.request_id for one in query.askers) for query in told} == {("d",)}
    assert any(query.rows for query in told)
    assert SECRET not in repr(told)


async def test_a_joined_read_is_told_with_whom_it_served(shop: Shop, told: list[SlowQuery]) -> None:
    """Once for all of them; of many only how many they were."""
    async with Database.attach(shop.database) as database:
        reader = reader_for(database)
        reader.counts.watches += (SlowQueries(0, told.append),)
        await asyncio.gather(*[reader.find(PAGE_ACCOUNT, Named(name)) for name in "abc"])
        await asyncio.gather(*[reader.find(PAGE_ACCOUNT, Named(str(number))) for number in range(20)])
        await reader.close()
    assert [(query.statement, query.rows, fields_of(query.askers)) for query in told] == [
        (JOINED_READ, 1, {"request_ids": ["a", "b", "c"]}),
        (JOINED_READ, 1, {"requests": 20}),
    ]


async def test_a_joined_read_that_waits_is_told(
    postgresql_url: str, archives: Callable[[str], Path], told: list[SlowQuery]
) -> None:
    """For another's lock, say; also when it is given up."""
    await open_shop(postgresql_url, archives("payout"), archives("payment"))
    async with Database.attach(postgresql_url) as database:
        reader = reader_for(database)
        reader.counts.watches += (SlowQueries(0.3, told.append),)
        assert await reader.find(PAGE_ACCOUNT) is not None
        other = await asyncpg.connect(postgresql_url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE accounts")
        waiting = asyncio.ensure_future(reader.find(PAGE_ACCOUNT, Named("late")))
        await asyncio.sleep(0.5)
        await transaction.rollback()
        assert await waiting is not None
        await other.close()
        await reader.close()
    (query,) = told
    assert (query.statement, fields_of(query.askers)) == (JOINED_READ, {"request_id": "late"})
    assert query.seconds >= 0.3


def _unwritable(_: SlowQuery) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_log_that_cannot_be_written_ends_nothing(shop: Shop) -> None:
    """Reads are answered, one after the other; what is committed is told as such."""
    slow = SlowQueries(0, _unwritable)
    async with Database.attach(shop.database, slow) as database:
        reader = reader_for(database)
        reader.counts.watches += (slow,)
        async with asyncio.timeout(5):
            for _ in range(2):
                assert await reader.find(PAGE_ACCOUNT) is not None
            command = Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.BALANCE, 10**8, "once", "a test")
            assert not (await Books(database).book(command)).repeated
            async with database.write() as connection:
                assert await connection.scalar(sa.text("SELECT 1")) == 1
        await reader.close()
