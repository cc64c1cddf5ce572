"""The books spread over nodes by lane: what is refused, what is done, and that a statement stays on one shard.

The tests' PostgreSQL has no Citus. `citus_rules` refuses what Citus's documentation says is refused; the books work on
one node as they would on many, and the server's own log tells what they asked of it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import citus_rules
from alikassa.errors import ConfigurationError, InsufficientFundsError
from alikassa.ledger.attempts import Answer
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Command, Payment, PayoutCreate, PayoutPaid, Refund
from alikassa.ledger.database import Database
from alikassa.ledger.distribution.distributing import distribute
from alikassa.ledger.ids import LANES, lane_of
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.nonces import KEPT
from alikassa.ledger.reader import Standing, reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import GROWING, metadata
from alikassa.ledger.verify import verify
from alikassa.money import from_units
from alikassa.protocol.certificates import PublicKey, load_public_key
from alikassa.protocol.signatures import Digest
from alikassa.server.freshness import Freshness, Refusal, Stale
from alikassa.server.operator.once import Once
from alikassa.server.refusals import find_cause
from alikassa.server.requests import rows as rows_module
from alikassa.server.requests import writer as writer_module
from alikassa.server.requests.kept import NOBODY
from alikassa.server.requests.recorder import Recorder
from alikassa.server.verification import Verified
from crash_checks import open_accounts
from crash_writer import LONG_AGO
from recorded import all_rows, asked, refuse, total, write
from spread_books import (
    ask,
    lanes_of_each,
    log_of,
    not_of_one_lane,
    of_one_statement,
    of_one_transaction,
    statements_in,
    transaction_of,
    written_since,
)
from stamped import check

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


# The sweeper's search for what is due, which asks all shards.
_SEARCH = "SELECT accounts.id FROM accounts WHERE accounts.next_due_at"


async def _book_all(books: Books, commands: list[Command]) -> None:
    await asyncio.gather(*map(books.book, commands))


async def test_each_statement_of_the_writer_is_of_one_lane(spread_url: str) -> None:
    """Commands of many kinds on all accounts, by themselves and together, and releases of what is due: each statement
    names the lane of each table in it by equality, and rows that are copied in are of one lane."""
    async with await Database.open(spread_url) as database:
        accounts = [one.id for one in await Registry(database).accounts()]
        books = Books(database)
        await books.book(Payment(accounts[0], 10**10, "first"))
    log = await log_of(spread_url)
    begun, since = log.stat().st_size, await transaction_of(spread_url)
    async with await Database.open(spread_url) as logged:
        books = Books(logged)
        # It is by its first connection that it knows.
        await books.book(Payment(accounts[0], 10**10, "second"))
        await _book_all(books, [Payment(one, 10**10, "old", effective_at=LONG_AGO) for one in accounts])
        await _book_all(books, [Refund(one, "old", 10**8, "back") for one in accounts])
        await _book_all(books, [PayoutCreate(one, 10**8, "out") for one in accounts])
        await _book_all(books, [PayoutPaid(one, "out") for one in accounts])
        await books.book_together([Payment(one, 10**10, "together") for one in accounts])
        with pytest.raises(InsufficientFundsError):
            await books.book(PayoutCreate(accounts[1], 10**15, "much"))
        await books.sweep()
    asked_all = not_of_one_lane(log.read_text()[begun:], 21)
    assert [one for one in asked_all if not one.startswith(_SEARCH)] == []
    written = await written_since(spread_url, since)
    assert len({one.lane for one in written}) > 1
    assert max(map(len, lanes_of_each(written, of_one_statement))) == 1


async def test_what_is_booked_under_a_key_joins_its_accounts_lane_and_its_keys(spread_url: str) -> None:
    """An answer lies in the lane of its key: looked for, kept, and put in the place of an old one by statements of one
    lane each. All else that its transaction writes is of the account's lane."""
    made: list[Answer] = []

    def render(_outcome: object) -> Answer:
        made.append(Answer(201, str(len(made)).encode()))
        return made[-1]

    async with await Database.open(spread_url) as database:
        accounts, books, token = await Registry(database).accounts(), Books(database), uuid.uuid4()
        await books.book(Payment(accounts[0].id, 10**10, "known by then"))
        keyed = [
            (Payment(one.id, 10**10, f"keyed-{n}"), Once.of(token, f"{one.id} {n}", "POST", "/", b"").attempt(render))
            for one in accounts
            for n in range(3)
        ]

        async def attempts() -> list[Answer]:
            return list(await asyncio.gather(*(books.attempt(*one) for one in keyed)))

        log = await log_of(spread_url)
        begun, since = log.stat().st_size, await transaction_of(spread_url)
        # Logged is what new connections do: of other books, that know by their first one.
        async with await Database.open(spread_url) as logged:
            books = Books(logged)
            await books.book(Payment(accounts[0].id, 10**10, "and then"))
            first = await attempts()
            assert await attempts() == first
            assert not_of_one_lane(log.read_text()[begun:], 40) == []
            written = await written_since(spread_url, since)
            await ask(spread_url, "UPDATE attempts SET made_at = made_at - interval '25 hours'")
            begun, since = log.stat().st_size, await transaction_of(spread_url)
            assert len({one.body for one in first + await attempts()}) == 2 * len(keyed)
            assert not_of_one_lane(log.read_text()[begun:], 40) == []
            written += await written_since(spread_url, since)
    assert len([one for one in written if one.table == "attempts"]) == 2 * len(keyed)
    assert len({attempt.lane for _, attempt in keyed}) > 1
    assert max(map(len, lanes_of_each(written, of_one_statement))) == 1
    booked = [one for one in written if one.table != "attempts"]
    assert max(map(len, lanes_of_each(booked, of_one_transaction))) == 1


async def test_old_answers_are_forgotten_lane_by_lane(spread_url: str) -> None:
    """The first sweep looks through all lanes, later ones through one each, in turn: no statement asks all shards, and
    each lane comes by."""
    keep = (
        "INSERT INTO attempts SELECT lane, gen_random_uuid(), 'key', '', 200, '', now() - interval '25 hours'"
        f" FROM generate_series(0, {LANES - 1}) AS lane"
    )
    left = "SELECT lane FROM attempts ORDER BY lane"
    log = await log_of(spread_url)
    begun = log.stat().st_size
    async with await Database.open(spread_url) as database:
        books = Books(database)
        await ask(spread_url, keep)
        await books.sweep()
        assert await ask(spread_url, left) == []
        await ask(spread_url, keep)
        for lane in range(LANES):
            assert [row["lane"] for row in await ask(spread_url, left)] == list(range(lane, LANES))
            await books.sweep()
        assert await ask(spread_url, left) == []
    deletes = [one for one in statements_in(log.read_text()[begun:]) if one.startswith("DELETE")]
    assert len(deletes) == 2 * LANES
    assert [one for one in deletes if "attempts.lane = $" not in one] == []


def _record(recorder: Recorder, accounts: list[uuid.UUID], certificate: uuid.UUID) -> None:
    """Each account four times well signed and once not; thirty that there are not, and one that is no account."""
    for one in accounts:
        for _ in range(4):
            recorder.ok(asked(one), Verified(str(certificate), Digest.SHA256))
        refuse(recorder, asked(one))
    for _ in range(30):
        recorder.malformed(asked(uuid.uuid4()), ["sign"])
    recorder.malformed(asked("nonsense"), ["account"])


async def test_the_log_of_requests_is_written_lane_by_lane(spread_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first rows on, old ones pruned: each statement and each transaction is of one lane, and nothing is
    missing. So is the look for why a request was refused.

    The accounts are of different lanes: each time one ring of a lane is pruned, so both of an account after two.
    """
    monkeypatch.setattr(rows_module, "MOST_VERIFIED", 100)
    monkeypatch.setattr(rows_module, "MOST_OTHERS", 1)
    async with await Database.open(spread_url) as database:
        registry = Registry(database)
        accounts = list({lane_of(one.id): one.id for one in await registry.accounts()}.values())
        added = await registry.add_certificate((await registry.merchants())[0].id, Purpose.PAYOUT, new_key())
    recorder = Recorder()
    log = await log_of(spread_url)
    begun, since = log.stat().st_size, await transaction_of(spread_url)
    async with await Database.open(spread_url) as database:
        writer = write(database, recorder)
        for _ in range(2):
            _record(recorder, accounts, added.id)
            await writer.flush()
        await find_cause(database, accounts[0], b"", b"{}")
        assert not_of_one_lane(log.read_text()[begun:], 40) == []
        rows = await all_rows(database)
    written = await written_since(spread_url, since)
    assert len(lanes_of_each(written, of_one_transaction)) > 10
    assert max(map(len, lanes_of_each(written, of_one_transaction))) == 1
    assert total(row for row in rows if row.account_id == NOBODY) == 62
    assert {one: [row.verified for row in rows if row.account_id == one].count(True) for one in accounts} == (
        dict.fromkeys(accounts, 8)
    )
    assert sum(not row.verified for row in rows if row.account_id != NOBODY) == len(accounts)
    assert recorder.lost == 0


async def test_a_lane_that_fails_costs_its_own_rows(spread_url: str) -> None:
    """As when its node is away: all other lanes' rows are written, and it is told how many are missing. The next time
    it comes last."""
    async with await Database.open(spread_url) as database:
        registry = Registry(database)
        accounts = sorted((one.id for one in await registry.accounts()), key=lane_of)
        added = await registry.add_certificate((await registry.merchants())[0].id, Purpose.PAYOUT, new_key())
        failing = lane_of(accounts[0])
        await ask(spread_url, f"ALTER TABLE requests ADD CONSTRAINT away CHECK (lane <> {failing})")
        recorder = Recorder()
        writer = write(database, recorder)

        async def flush() -> list[int]:
            """The lanes that were written, in their order."""
            since = await transaction_of(spread_url)
            for one in accounts:
                recorder.ok(asked(one), Verified(str(added.id), Digest.SHA256))
            await writer.flush()
            return list(dict.fromkeys(one.lane for one in await written_since(spread_url, since)))

        lanes = list(dict.fromkeys(map(lane_of, accounts)))
        with structlog.testing.capture_logs() as logs:
            assert await flush() == lanes[1:]
        assert [one["count"] for one in logs] == [sum(lane_of(one) == failing for one in accounts)]
        await ask(spread_url, "ALTER TABLE requests DROP CONSTRAINT away")
        assert await flush() == [*lanes[1:], failing]
        assert await flush() == lanes


async def test_writing_lane_by_lane_ends_in_time(spread_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are too slow cost rows, and it is told how many. The next time it goes on where it ended."""
    async with await Database.open(spread_url) as database:
        accounts = sorted((one.id for one in await Registry(database).accounts()), key=lane_of)
        lanes = list(dict.fromkeys(map(lane_of, accounts)))
        recorder = Recorder()
        writer = write(database, recorder)

        async def flush() -> list[int]:
            """The lanes that were written, in their order."""
            since = await transaction_of(spread_url)
            for one in accounts:
                refuse(recorder, asked(one))
            await writer.flush()
            return list(dict.fromkeys(one.lane for one in await written_since(spread_url, since)))

        # When it begins, and before each of two lanes.
        passed = iter([0.0, 0.0, 0.0, writer_module._LANES_SECONDS + 1])
        with monkeypatch.context() as slow, structlog.testing.capture_logs() as logs:
            slow.setattr(writer_module, "time", SimpleNamespace(monotonic=lambda: next(passed, 99.0)))
            assert await flush() == lanes[:1]
        assert [one["count"] for one in logs] == [sum(lane_of(one) != lanes[0] for one in accounts)]
        assert "too long" in logs[0]["problem"]
        assert await flush() == [*lanes[1:], lanes[0]]


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
            return [check(freshness, stamp, str(account), one, required=True) for one in certificates[:count]]

        # By then it knows the database.
        await asyncio.gather(*requests(0, 1))
        begun = log.stat().st_size
        found = await asyncio.gather(*(one for number in (1, 2, 3, 2) for one in requests(number)))
        assert [one.reason if one else None for one in found] == [None] * 36 + [Stale.USED_NONCE] * 12
        assert not_of_one_lane(log.read_text()[begun:], 30) == []
        lanes = {lane_of(uuid.UUID(one)) for one in certificates}
        written = [one for one in await written_since(spread_url, 0) if one.table == "nonces"]
        assert (max(map(len, lanes_of_each(written, of_one_transaction))), len(lanes) > 1) == (1, True)
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
        since = await transaction_of(spread_url)
        await _book_all(books, [Payment(one, 10**10 + n, f"order-{n}") for one in accounts for n in range(2, 6)])
        assert not (await verify(database)).problems
    assert len({lane_of(one) for one in accounts}) > 1
    written = await written_since(spread_url, since)
    assert {one.table for one in written} >= {"journal_entries", "postings", "accounts"}
    assert max(map(len, lanes_of_each(written, of_one_transaction))) == 1


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
