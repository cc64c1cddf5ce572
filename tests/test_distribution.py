"""The books spread over nodes by lane: what is refused, what is done, and that a statement stays on one shard.

The tests' PostgreSQL has no Citus. `citus_rules` refuses what Citus's documentation says is refused; the books work on
one node as they would on many, and the server's own log tells what they asked of it.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import citus_rules
from alikassa.errors import ConfigurationError, InsufficientFundsError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Command, Payment, PayoutCreate, PayoutPaid, Refund
from alikassa.ledger.database import Database
from alikassa.ledger.distribution.distributing import distribute
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.nonces import KEPT
from alikassa.ledger.reader import Standing, reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import GROWING, metadata
from alikassa.ledger.verify import verify
from alikassa.money import from_units
from alikassa.protocol.certificates import PublicKey, load_public_key
from alikassa.server.freshness import Freshness, Refusal, Stale
from crash_checks import open_accounts
from crash_writer import LONG_AGO
from spread_books import ask, log_of, statements_in

pytestmark = pytest.mark.anyio


_FOREIGN_KEYS = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"


def new_key() -> PublicKey:
    pem = (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return load_public_key(pem)


@pytest.fixture
async def books_url(postgresql_url: str) -> str:
    """Books with twelve accounts and a payment on each."""
    async with await Database.open(postgresql_url, create=True) as database:
        accounts = await open_accounts(database, 12)
        await Books(database).book_together([Payment(one, 10**10, "order-1") for one in accounts])
    return postgresql_url


@pytest.fixture
async def spread_url(books_url: str) -> str:
    """The same, distributed."""
    await citus_rules.install(books_url, nodes=3)
    async with await Database.open(books_url) as database:
        await distribute(database)
    return books_url


async def test_growing_tables_are_spread_by_lane_and_small_ones_copied(books_url: str) -> None:
    """Every table is one or the other, co-located; the foreign keys are there again, the triggers are gone."""
    keys = await ask(books_url, _FOREIGN_KEYS)
    triggers = [row["tgname"] for row in await ask(books_url, _TRIGGERS)]
    await citus_rules.install(books_url, nodes=3)
    async with await Database.open(books_url) as database:
        done = await distribute(database, shards=32)
        # It opens as it did, and what was booked is still true.
        assert not (await verify(database)).problems
    made = {row["name"]: tuple(row)[1:] for row in await ask(books_url, "SELECT * FROM citus_rules")}
    growing = {table.name for table in GROWING}
    small = {table.name for table in metadata.sorted_tables} - growing | {"alembic_version"}
    assert made == (
        dict.fromkeys(small, ("reference", None, None))
        | dict.fromkeys(growing, ("lane", "accounts", None))
        | {"accounts": ("lane", "none", 32)}
    )
    assert await ask(books_url, _FOREIGN_KEYS) == keys
    assert await ask(books_url, _TRIGGERS) == []
    assert [one.partition(" on ")[0] for one in sorted(done.triggers)] == triggers
    assert (done.nodes, done.shards) == (3, 32)


async def test_without_the_extension_nothing_is_changed(books_url: str, sqlite_url: str) -> None:
    """SQLite, a PostgreSQL without the extension, and a cluster without nodes are told, with what to do."""
    triggers = await ask(books_url, _TRIGGERS)
    async with await Database.open(books_url) as database:
        with pytest.raises(ConfigurationError, match="no citus extension") as refused:
            await distribute(database)
        assert "shared_preload_libraries" in refused.value.remedy
        await citus_rules.install(books_url, nodes=0)
        with pytest.raises(ConfigurationError, match="no node"):
            await distribute(database)
    assert await ask(books_url, _TRIGGERS) == triggers
    async with await Database.open(sqlite_url, create=True) as database:
        with pytest.raises(ConfigurationError, match="one file"):
            await distribute(database)


async def test_it_is_done_whole_or_not_at_all(books_url: str) -> None:
    """A table that the engine refuses leaves triggers and keys as they were; once is enough."""
    await citus_rules.install(books_url, nodes=3)
    before = await ask(books_url, _TRIGGERS), await ask(books_url, _FOREIGN_KEYS)
    await ask(books_url, "CREATE UNIQUE INDEX strange ON postings (account_id, sequence, line)")
    async with await Database.open(books_url) as database:
        with pytest.raises(Exception, match="lacks the distribution column"):
            await distribute(database)
        assert (await ask(books_url, _TRIGGERS), await ask(books_url, _FOREIGN_KEYS)) == before
        await ask(books_url, "DROP INDEX strange")
        await distribute(database)
        with pytest.raises(ConfigurationError, match="already"):
            await distribute(database)


async def _work(url: str) -> None:
    """Bookings of many kinds on all accounts, due releases among them, and balances read all at once."""
    async with await Database.open(url) as database:
        accounts = [one.id for one in await Registry(database).accounts()]
        books = Books(database)
        await books.book(Payment(accounts[0], 10**10, "first"))
        log = await log_of(url)
        begun = log.stat().st_size
        async with await Database.open(url) as logged:
            books = Books(logged)
            # It is by its first connection that it knows.
            await books.book(Payment(accounts[0], 10**10, "second"))
            await _book_all(books, [Payment(one, 10**10, "old", effective_at=LONG_AGO) for one in accounts])
            await _book_all(books, [Refund(one, "old", 10**8, "back") for one in accounts])
            await _book_all(books, [PayoutCreate(one, 10**8, "out") for one in accounts])
            await _book_all(books, [PayoutPaid(one, "out") for one in accounts])
            with pytest.raises(InsufficientFundsError):
                await books.book(PayoutCreate(accounts[1], 10**15, "much"))
            await books.sweep()
        _check_statements(statements_in(log.read_text()[begun:]), 21)


async def _book_all(books: Books, commands: list[Command]) -> None:
    await asyncio.gather(*map(books.book, commands))


def _check_statements(statements: list[str], least: int) -> None:
    growing = "|".join(table.name for table in GROWING)
    asked = [one for one in statements if re.search(rf"\b(?:FROM|JOIN|UPDATE|INTO) (?:public\.)?(?:{growing})\b", one)]
    assert len(asked) >= least
    for one in asked:
        if one.startswith(("SELECT accounts.id FROM accounts WHERE accounts.next_due_at", "DELETE FROM attempts")):
            continue  # the sweeper's, once a minute, on all shards
        assert re.search(r"\blane = \$\d+", one) or _are_rows_of_one_lane(one), one


def _are_rows_of_one_lane(statement: str) -> bool:
    """Rows that are inserted, each of which begins with the same lane."""
    inserted = re.fullmatch(r"INSERT INTO \w+ \(lane, [\w, ]+\) VALUES (\(.*\)) ON CONFLICT .*", statement)
    return inserted is not None and all(row.startswith("$1, ") for row in re.findall(r"\(([^)]*)\)", inserted[1]))


async def test_each_statement_of_the_writer_names_its_lane(spread_url: str) -> None:
    """What the server is asked when all kinds of commands are booked names one lane by equality, and so one shard."""
    await _work(spread_url)


async def test_fresh_requests_name_their_lane(spread_url: str) -> None:
    """Nonces of many certificates, claimed at once, counted and pruned: each statement is of one lane, and so is each
    transaction; a nonce is good once, and old ones go."""
    account, now = uuid.uuid4(), datetime.now(UTC)
    certificates = [str(uuid.uuid4()) for _ in range(12)]
    log = await log_of(spread_url)
    async with await Database.open(spread_url) as database:
        freshness = Freshness(database, lambda: now)

        def requests(number: int, count: int = 12) -> list[Awaitable[Refusal | None]]:
            stamp = {"account": str(account), "timestamp": int(now.timestamp()), "nonce": f"{number:022}"}
            return [freshness.check(stamp, str(account), one, required=True) for one in certificates[:count]]

        # By then it knows the database.
        await asyncio.gather(*requests(0, 1))
        begun = log.stat().st_size
        found = await asyncio.gather(*(one for number in (1, 2, 3, 2) for one in requests(number)))
        assert [one.reason if one else None for one in found] == [None] * 36 + [Stale.USED_NONCE] * 12
        _check_statements(statements_in(log.read_text()[begun:]), 30)
        lanes = {lane_of(uuid.UUID(one)) for one in certificates}
        (written,) = await ask(
            spread_url,
            "SELECT max(lanes) FROM (SELECT count(DISTINCT lane) AS lanes FROM nonces GROUP BY xmin::text) AS by",
        )
        assert (written["max"], len(lanes) > 1) == (1, True)
        now += KEPT + timedelta(seconds=1)
        await asyncio.gather(*requests(4))
        assert [row["nonce"] for row in await ask(spread_url, "SELECT DISTINCT nonce FROM nonces")] == [f"{4:022}"]
        await freshness.close()


async def test_a_transaction_stays_on_one_lane(spread_url: str) -> None:
    """Rows that one transaction wrote are of one lane, in every table, however many accounts were booked at once."""
    async with await Database.open(spread_url) as database:
        accounts = [one.id for one in await Registry(database).accounts()]
        books = Books(database)
        await books.book(Payment(accounts[0], 10**10, "known by now"))
        await _book_all(books, [Payment(one, 10**10 + n, f"order-{n}") for one in accounts for n in range(2, 6)])
        assert not (await verify(database)).problems
    assert len({lane_of(one) for one in accounts}) > 1
    union = " UNION ALL ".join(
        f"SELECT e.xmin::text AS by, e.lane FROM {name} e"
        for name in ("journal_entries", "postings", "lots", "accounts")
    )
    rows = await ask(
        spread_url,
        f"SELECT by, count(DISTINCT lane) AS lanes FROM ({union}) AS written WHERE by IN ("
        "SELECT xmin::text FROM journal_entries WHERE reference LIKE 'order-_' AND reference <> 'order-1') GROUP BY by",
    )
    assert rows
    assert {row["lanes"] for row in rows} == {1}


async def _read(url: str, accounts: list[uuid.UUID]) -> list[Standing | None]:
    """Twice, the second time by a reader that knows the database."""
    async with await Database.open(url) as database:
        reader = reader_for(database)
        try:
            first = await asyncio.gather(*(reader.find(str(one)) for one in accounts))
            assert await asyncio.gather(*(reader.find(str(one)) for one in accounts)) == first
        finally:
            await reader.close()
    return first


async def test_balances_are_as_before_and_read_by_lane(books_url: str) -> None:
    """With due money, certificates and none, and unknown accounts: the same standings, and each read names its lane."""
    async with await Database.open(books_url) as database:
        registry = Registry(database)
        accounts = [one.id for one in await registry.accounts()]
        merchant = (await registry.merchants())[0].id
        for _ in range(2):
            await registry.add_certificate(merchant, Purpose.PAYOUT, new_key())
        other = (await registry.open_account((await registry.add_merchant("Other")).id, "USD")).id
        await _book_all(Books(database), [Payment(one, 10**10, "old", effective_at=LONG_AGO) for one in accounts[:6]])
    asked = [*accounts, other, uuid.UUID(int=77)]
    before = await _read(books_url, asked)
    await citus_rules.install(books_url, nodes=3)
    async with await Database.open(books_url) as database:
        await distribute(database)
    log = await log_of(books_url)
    begun = log.stat().st_size
    assert await _read(books_url, asked) == before
    assert [one is None for one in before] == [False] * 13 + [True]
    reads = [one for one in statements_in(log.read_text()[begun:]) if "accounts a" in one]
    assert 2 <= len(reads) <= 2 * len({lane_of(one) for one in asked})
    for one in reads:
        assert "a.lane = $1" in one
        assert "l.lane = $1" in one
        assert "pg_current_snapshot" not in one


async def test_a_read_is_never_of_before(spread_url: str) -> None:
    """A balance that was booked and a certificate that was revoked a moment ago show in the next read."""
    async with await Database.open(spread_url) as database:
        registry, books, reader = Registry(database), Books(database), reader_for(database)
        (account, *_) = await registry.accounts()
        added = await registry.add_certificate(account.merchant, Purpose.PAYOUT, new_key())
        try:
            for n in range(5):
                booked = await books.book(Payment(account.id, 10**10, f"more-{n}"))
                found = await reader.find(str(account.id))
                assert found is not None
                assert found.balance == from_units(booked.account.buckets[Bucket.BALANCE])
                assert [one.id for one in found.certificates] == [str(added.id)]
            await registry.revoke_certificate(added.id)
            found = await reader.find(str(account.id))
            assert found is not None
            assert found.certificates == ()
        finally:
            await reader.close()
