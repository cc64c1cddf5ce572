"""What the reading of replicas is made of, on one server: beats, what was told, permissions, settings."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from alikassa.errors import ConfigurationError
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.ledger.replicas import told as told_module
from alikassa.ledger.replicas.beats import NEVER, Beats
from alikassa.ledger.replicas.permissions import Permissions
from alikassa.ledger.replicas.reader import ReplicaReader, Source
from alikassa.ledger.replicas.settings import ReplicaSettings
from alikassa.ledger.replicas.told import Told, ToldAccounts
from crash_checks import open_accounts

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(postgresql_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(postgresql_url, create=True) as opened:
        yield opened


async def rows(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(statement)
        return found
    finally:
        await connection.close()


async def test_a_beat_dates_what_was_committed_before_it(database: Database, postgresql_url: str) -> None:
    """By when it was begun; one that is not known dates nothing. A worker that ends takes its row with it."""
    beats = Beats(Address.parse(postgresql_url))
    moments = [time.monotonic()]
    for _ in range(3):
        assert await beats.beat()
        moments.append(time.monotonic())
    (row,) = await rows(postgresql_url, "SELECT worker, beat FROM heartbeats")
    assert tuple(row) == (beats.worker, 3)
    for number, (before, after) in enumerate(itertools.pairwise(moments), 1):
        assert before <= beats.begun(number) <= after
    assert [beats.begun(one) for one in (None, 0, -1, 4)] == [NEVER] * 4
    await beats.close()
    assert await rows(postgresql_url, "SELECT 1 FROM heartbeats") == []


async def test_a_beat_that_fails_dates_what_it_might(postgresql_url: str) -> None:
    """It may have been committed all the same; and a worker of yesterday is forgotten by the next one."""
    beats = Beats(Address.parse(postgresql_url))
    assert not await beats.beat()  # there is no table yet
    assert beats.begun(1) > NEVER
    async with await Database.open(postgresql_url, create=True):
        await rows(
            postgresql_url,
            "INSERT INTO heartbeats"
            " SELECT gen_random_uuid(), 1, now() - h * interval '1 hour' FROM unnest('{2,25}'::int[]) h",
        )
        assert await beats.beat()
        assert len(await rows(postgresql_url, "SELECT 1 FROM heartbeats")) == 2
    await beats.close()


def test_nothing_older_than_what_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the entry, or by the time; of accounts that are remembered no more, by the time when the last was told."""
    monkeypatch.setattr(told_module, "_MOST_REMEMBERED", 2)
    told = ToldAccounts()
    assert told.may_tell("a", 0, NEVER)
    told.keep("a", Told(10.0, 5))
    assert told.may_tell("a", 5, 1.0)
    assert not told.may_tell("a", 4, 9.9)
    assert told.may_tell("a", 4, 10.0)
    assert told.may_tell("b", 0, 1.0)
    told.keep("b", Told(11.0, 1))
    told.keep("a", Told(12.0, 6))
    told.keep("c", Told(13.0, 1))
    # The one that was told longest ago had to go.
    assert not told.may_tell("b", 1, 10.9)
    assert told.may_tell("b", 1, 11.0)
    assert not told.may_tell("d", 1, 10.9)
    assert told.may_tell("a", 6, 1.0)


async def test_permissions_are_as_the_primary_has_them(database: Database, postgresql_url: str) -> None:
    """What is kept is kept while money is booked, and read again after a change by whomever: by hand too."""
    one, other = await open_accounts(database, 2)
    key = "decode('00', 'hex')"
    add = (
        "INSERT INTO certificates SELECT gen_random_uuid(), m.id, 'payout', 'active', true, 'x', 2048,"
        f" {key}, now(), NULL FROM merchants m"
    )
    await rows(postgresql_url, add)
    permissions = Permissions(Address.parse(postgresql_url), None)
    accounts = [str(one), str(other), str(uuid.uuid4())]
    found, now = await permissions.find(accounts)
    assert list(found) == accounts[:2]
    assert [(item.currency, len(item.certificates)) for item in found.values()] == [("RUB", 1)] * 2
    await Books(database).book(Payment(one, 10**10, "order-1"))
    again, later = await permissions.find(accounts)
    assert all(again[account] is found[account] for account in accounts[:2])
    assert later > now
    for change, told in (
        ("UPDATE certificates SET sha1_allowed = false", ([False], False)),
        (f"UPDATE accounts SET requires_fresh = true WHERE id = '{one}'", ([False], True)),
        ("UPDATE certificates SET state = 'revoked', revoked_at = now()", ([], True)),
    ):
        await rows(postgresql_url, change)
        item = (await permissions.find(accounts[:2]))[0][str(one)]
        assert ([each.sha1_allowed for each in item.certificates], item.requires_fresh) == told, change
    opened = await Registry(database).open_account((await Registry(database).merchants())[0].id, "USD")
    assert (await permissions.find([str(opened.id)]))[0][str(opened.id)].currency == "USD"
    # A count that is lost does not count as one that stayed the same.
    await rows(postgresql_url, "DELETE FROM permission_changes")
    await permissions.find(accounts)
    await rows(postgresql_url, f"UPDATE accounts SET requires_fresh = false WHERE id = '{one}'")
    assert not (await permissions.find(accounts))[0][str(one)].requires_fresh
    await permissions.close()


async def test_changes_of_several_certificates_do_not_lock_each_other_out(
    database: Database, postgresql_url: str
) -> None:
    """Two transactions that change the same two, in opposite order, are done one after the other."""
    await open_accounts(database, 1)
    add = (
        "INSERT INTO certificates SELECT gen_random_uuid(), m.id, 'payout', 'active', true, f, 2048,"
        " decode('00', 'hex'), now(), NULL FROM merchants m, unnest('{a,b}'::text[]) f"
    )
    await rows(postgresql_url, add)

    async def change(first: str, second: str) -> None:
        connection = await asyncpg.connect(postgresql_url)
        try:
            async with connection.transaction():
                for name in (first, second):
                    await connection.execute(
                        "UPDATE certificates SET sha1_allowed = false WHERE fingerprint = $1", name
                    )
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()

    await asyncio.gather(change("a", "b"), change("b", "a"))


async def test_the_primary_answers_for_a_replica_that_is_not_there(database: Database, postgresql_url: str) -> None:
    """As committed at this moment, due money included."""
    (account,) = await open_accounts(database, 1)
    settings = ReplicaSettings(("postgresql://postgres@/books?host=/nowhere",))
    reader = ReplicaReader(database.address, settings, 1.0)
    try:
        for number in range(1, 4):
            await Books(database).book(Payment(account, 10**10, f"order-{number}"))
            found = await reader.find(str(account))
            assert found is not None
            async with database.read() as connection:
                driver = await connection.exec_driver_sql("SELECT balance::text FROM accounts")
                assert found.balance == driver.scalar_one()
        assert reader.counts.sources == {Source.REPLICA: 0, Source.NO_REPLICA: 3, Source.OLD: 0}
        await reader.ping()
    finally:
        await reader.close()


def test_settings_that_cannot_be() -> None:
    """Too many, too strict, or SQLite: told with what to do. Printed, they show no password."""
    books, other = "postgresql://a@b/books", "postgresql://a:secret@c/books"
    ReplicaSettings().check("sqlite:///books.db")
    ReplicaSettings((other,) * 4, 0.5).check(books)
    for settings, database, text in (
        (ReplicaSettings((other,) * 5), books, "too many"),
        (ReplicaSettings((other,), 0.4), books, "within 0.4 s"),
        (ReplicaSettings((other,)), "sqlite:///books.db", "SQLite"),
        (ReplicaSettings(("sqlite:///books.db",)), books, "SQLite"),
    ):
        with pytest.raises(ConfigurationError, match=text) as refused:
            settings.check(database)
        assert refused.value.remedy
    assert "secret" not in repr(ReplicaSettings((other,)))
