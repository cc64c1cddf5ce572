"""The joined read behind balance requests, on both engines."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.ledger import kept
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.reader import MOST_JOINED, AccountReader, ActiveCertificate, Standing, reader_for
from alikassa.ledger.reader_postgresql import PostgresqlReader
from alikassa.ledger.reader_sqlite import SqliteReader
from alikassa.ledger.registry import Registry
from alikassa.protocol import archive
from alikassa.protocol.certificates import load_public_key
from conftest import PAGE_ACCOUNT, Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop.database) as opened:
        yield opened


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[AccountReader]:
    opened = reader_for(database)
    yield opened
    await opened.close()


def der(folder: Path) -> bytes:
    return load_public_key((folder / "public.pem").read_bytes()).der


async def test_an_account_is_read_with_its_payout_certificate(shop: Shop, reader: AccountReader) -> None:
    """Four amounts with eight decimals, and the active payout certificate; the payment one may not ask."""
    assert await reader.find(PAGE_ACCOUNT) == Standing(
        *("RUB", "93.84000000", "0.00000000", "0.00000000", "1234.00000000"),
        certificates=(ActiveCertificate(shop.payout_certificate, True, der(shop.payout)),),
    )


async def test_an_unknown_account_is_nothing(reader: AccountReader) -> None:
    """There is no such account."""
    assert await reader.find(str(uuid.uuid4())) is None


async def test_a_change_shows_in_the_next_read(shop: Shop, database: Database, reader: AccountReader) -> None:
    """What is committed is read: money, SHA-1, a second certificate, a revocation."""
    await reader.find(PAGE_ACCOUNT)
    registry = Registry(database)
    payout = uuid.UUID(shop.payout_certificate)
    await Books(database).book(Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.HOLD, 1, "r", "a test"))
    await registry.allow_sha1(payout, allowed=False)
    key = archive.generate().public_key
    second = await registry.add_certificate(uuid.UUID(shop.merchant), Purpose.PAYOUT, key)
    found = await reader.find(PAGE_ACCOUNT)
    assert found is not None
    assert found.hold == "0.00000001"
    assert set(found.certificates) == {
        ActiveCertificate(str(payout), False, der(shop.payout)),
        ActiveCertificate(str(second.id), True, key.der),
    }
    await registry.revoke_certificate(payout)
    await registry.revoke_certificate(second.id)
    found = await reader.find(PAGE_ACCOUNT)
    assert found is not None
    assert found.certificates == ()


async def test_what_was_read_is_kept_until_something_is_committed(
    shop: Shop, database: Database, reader: AccountReader
) -> None:
    """While the database is what it was, an account is not read again; any commit ends that, whatever it is about."""
    first = await reader.find(PAGE_ACCOUNT)
    assert await reader.find(PAGE_ACCOUNT) is first
    await Registry(database).add_merchant("Somebody else")
    second = await reader.find(PAGE_ACCOUNT)
    assert second == first
    assert second is not first
    assert await reader.find(PAGE_ACCOUNT) is second


async def test_an_account_that_was_not_there_is_seen_when_it_is_opened(
    shop: Shop, database: Database, reader: AccountReader
) -> None:
    """That there is none is kept no longer than what there is."""
    account = uuid.uuid4()
    assert [await reader.find(str(account)) for _ in range(2)] == [None, None]
    await Registry(database).open_account(uuid.UUID(shop.merchant), "RUB", account)
    assert await reader.find(str(account)) is not None


async def test_a_transaction_that_was_open_during_a_read_is_seen_once_it_commits(
    shop: Shop, database: Database, reader: AccountReader
) -> None:
    """What another transaction holds back is not read, and not overlooked later either."""
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE merchants SET name = name || '!'"))
        await connection.execute(sa.text("UPDATE certificates SET sha1_allowed = NOT sha1_allowed"))
        before = await reader.find(PAGE_ACCOUNT)
        # The engine's own upkeep is a transaction too, and may come between two of these.
        again = [await reader.find(PAGE_ACCOUNT) for _ in range(5)]
        assert any(one is other for one, other in pairwise([before, *again]))
    after = await reader.find(PAGE_ACCOUNT)
    assert before is not None
    assert after is not None
    assert [one.sha1_allowed for one in after.certificates] != [one.sha1_allowed for one in before.certificates]


async def test_no_more_is_kept_than_the_bound(
    shop: Shop, reader: AccountReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past it everything is read afresh, and answered all the same."""
    monkeypatch.setattr(kept, "MOST_KEPT", 3)
    strangers = [str(uuid.uuid4()) for _ in range(8)]
    for stranger in strangers:
        found = await asyncio.gather(reader.find(PAGE_ACCOUNT), reader.find(stranger))
        assert found[0] is not None
        assert found[1] is None


async def test_requests_that_wait_share_a_read(
    shop: Shop, database: Database, reader: AccountReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many requests at once take one read for every MOST_JOINED of them, and each gets its own account."""
    registry = Registry(database)
    opened = [await registry.open_account(uuid.UUID(shop.merchant), f"C{n:03}") for n in range(MOST_JOINED + 5)]
    reads: list[int] = []
    kind = SqliteReader if isinstance(reader, SqliteReader) else PostgresqlReader
    original: Any = kind._find

    def counted(self: object, accounts: list[str]) -> Any:
        reads.append(len(accounts))
        return original(self, accounts)

    monkeypatch.setattr(kind, "_find", counted)
    asked = [account for account in opened for _ in range(2)]
    found = await asyncio.gather(*(reader.find(str(account.id)) for account in asked))
    assert [one and one.currency for one in found] == [account.currency for account in asked]
    assert reads == [MOST_JOINED // 2, MOST_JOINED // 2, 5]


async def test_a_request_that_is_given_up_harms_no_other(reader: AccountReader) -> None:
    """One waiter's cancellation leaves those that share its read alone."""

    async def ask() -> Standing | None:
        return await reader.find(PAGE_ACCOUNT)

    tasks = [asyncio.create_task(ask()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert isinstance(found[0], Standing)
    assert found[0] == found[2]


async def test_a_file_that_goes_away_and_comes_back(sqlite_url: str, archives: Callable[[str], Path]) -> None:
    """While the SQLite file is gone reads fail, and are not answered from an empty one; back, they work again."""
    await open_shop(sqlite_url, archives("payout"), archives("payment"))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    async with await Database.open(sqlite_url) as database:
        reader = reader_for(database)
        assert await reader.find(PAGE_ACCOUNT) is not None
        away = file.rename(file.with_suffix(".away"))
        reader._look_at = 0.0  # type: ignore[attr-defined] # as if a second had passed
        with pytest.raises(DatabaseError):
            await reader.find(PAGE_ACCOUNT)
        with pytest.raises(DatabaseError):
            await reader.ping()
        assert not file.exists()
        away.rename(file)
        await reader.ping()
        assert await reader.find(PAGE_ACCOUNT) is not None
        await reader.ping()
        await reader.close()


async def test_a_file_put_in_the_place_of_another(sqlite_url: str, archives: Callable[[str], Path]) -> None:
    """A copy that is restored over the books is what is read from then on, not the file that it replaced."""
    await open_shop(sqlite_url, archives("payout"), archives("payment"))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as connection:
        connection.execute(f"VACUUM INTO '{file}.copy'")
    connection.close()
    async with await Database.open(sqlite_url) as database:
        reader = reader_for(database)
        await Books(database).book(Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.HOLD, 1, "r", "a test"))
        before = await reader.find(PAGE_ACCOUNT)
        Path(f"{file}.copy").replace(file)
        for log in ("-wal", "-shm"):
            Path(f"{file}{log}").unlink(missing_ok=True)
        await reader.ping()
        after = await reader.find(PAGE_ACCOUNT)
        await reader.close()
    assert before is not None
    assert after is not None
    assert (before.hold, after.hold) == ("0.00000001", "0.00000000")


async def test_a_killed_connection_is_replaced(postgresql_url: str, archives: Callable[[str], Path]) -> None:
    """When PostgreSQL ends our connections, the reads under way fail and the next ones work."""
    await open_shop(postgresql_url, archives("payout"), archives("payment"))
    async with await Database.open(postgresql_url) as database:
        reader = reader_for(database)
        assert await reader.find(PAGE_ACCOUNT) is not None
        other = await asyncpg.connect(postgresql_url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alikassa balance'"
        )
        await other.close()
        for _ in range(3):
            try:
                found = await reader.find(PAGE_ACCOUNT)
                break
            except DatabaseError:
                continue
        else:
            raise AssertionError("the connection was not replaced")
        assert found is not None
        await reader.close()


async def test_reads_may_not_write(postgresql_url: str, archives: Callable[[str], Path]) -> None:
    """The readers' connections are read-only, whatever statement a defect might send."""
    await open_shop(postgresql_url, archives("payout"), archives("payment"))
    async with await Database.open(postgresql_url) as database:
        reader = reader_for(database)
        assert isinstance(reader, PostgresqlReader)
        await reader.find(PAGE_ACCOUNT)
        assert reader._connection is not None
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader._connection.execute("UPDATE accounts SET hold = 1")
        await reader.close()


async def test_a_reader_says_whether_its_database_answers(shop: Shop, reader: AccountReader) -> None:
    """`ping` is quiet while all is well."""
    await reader.ping()


async def test_a_postgresql_that_is_away_is_told(unused_port: int, anyio_backend: str) -> None:
    """Nobody listens: reads and `ping` say so, each time anew."""
    reader = PostgresqlReader(Address.parse(f"postgresql://me@127.0.0.1:{unused_port}/books"))
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            await reader.find(PAGE_ACCOUNT)
        with pytest.raises(DatabaseUnavailableError):
            await reader.ping()
    await reader.close()


async def test_a_defect_is_told_to_whoever_waits(reader: AccountReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error in a read leaves nobody waiting for ever."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(reader), "_find", broken)
    results = await asyncio.gather(*(reader.find(PAGE_ACCOUNT) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 3


async def test_closing_ends_the_reads_under_way(postgresql_url: str, archives: Callable[[str], Path]) -> None:
    """A read that is under way when the server stops is cancelled, not left hanging."""
    await open_shop(postgresql_url, archives("payout"), archives("payment"))
    reader = PostgresqlReader(Address.parse(postgresql_url))
    waiting = reader.find(PAGE_ACCOUNT)
    await asyncio.sleep(0)
    await reader.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
