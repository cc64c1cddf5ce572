"""The four numbers from a real replica: never older than the bound, and certificates always as the primary has them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from alikassa.errors import DatabaseError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import Standing
from alikassa.ledger.registry import Registry
from alikassa.ledger.replicas.beats import Beats
from alikassa.ledger.replicas.reader import ReplicaReader, Source
from alikassa.ledger.replicas.settings import ReplicaSettings
from alikassa.ledger.replicas.told import Told
from alikassa.money import SCALE, to_units
from alikassa.protocol.certificates import load_public_key
from alikassa.protocol.messages import BALANCE_PATH
from conftest import PAGE_ANSWER, Server, Shop, open_shop, signed
from replica_servers import Pair, make_pair, url_of, wait_until

pytestmark = pytest.mark.anyio

_names = count()


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """One pair for all of these tests; each makes accounts of its own."""
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        pair = asyncio.run(make_pair(Path(folder)))
        try:
            yield pair
        finally:
            pair.end()


@pytest.fixture
async def pair(servers: Pair, anyio_backend: str) -> AsyncIterator[Pair]:
    await servers.start_replica()
    yield servers
    await servers.start_replica()
    await servers.resume()


@pytest.fixture
async def database(pair: Pair) -> AsyncIterator[Database]:
    async with await Database.open(pair.url, create=True) as opened:
        yield opened


@pytest.fixture
async def account(database: Database) -> uuid.UUID:
    """A new one, whose merchant has an active payout certificate."""
    registry = Registry(database)
    merchant = await registry.add_merchant("Shop")
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    await registry.add_certificate(merchant.id, Purpose.PAYOUT, load_public_key(pem))
    return (await registry.open_account(merchant.id, "RUB")).id


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.defects: list[BaseException | None] = []

    def replica_used(self, replica: str) -> None:
        self.told.append((replica, "used"))

    def replica_left(self, replica: str, why: str) -> None:
        self.told.append((replica, why))

    def heartbeat_failed(self) -> None:
        self.defects.append(sys.exc_info()[1])


@asynccontextmanager
async def reading(
    pair: Pair, bound: float, *replicas: str, watch: Watch | None = None, primary: str = ""
) -> AsyncIterator[ReplicaReader]:
    settings = ReplicaSettings(replicas or (pair.replica_url,), bound)
    async with await Database.open(primary or pair.url) as database:
        reader = ReplicaReader(database.address, settings, bound, watch=watch)
        try:
            yield reader
        finally:
            await reader.close()


async def add(database: Database, account: uuid.UUID, amount: int = 1) -> None:
    await Books(database).book(Adjustment(account, Bucket.BALANCE, amount * SCALE, f"a-{next(_names)}", "a test"))


async def find(reader: ReplicaReader, account: uuid.UUID) -> Standing:
    found = await reader.find(str(account))
    assert found is not None
    return found


async def balance(reader: ReplicaReader, account: uuid.UUID) -> int:
    return to_units((await find(reader, account)).balance) // SCALE


async def read_there(reader: ReplicaReader, account: uuid.UUID) -> None:
    """Until the replica has answered this account's read."""

    async def asked() -> bool:
        before = reader.counts.sources[Source.REPLICA]
        await find(reader, account)
        return reader.counts.sources[Source.REPLICA] > before

    await wait_until(asked)


async def test_the_numbers_come_from_the_replica(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """All four, with certificates and currency; an account that there is not is not found; a watch is told."""
    books, watch = Books(database), Watch()
    for bucket, amount in (
        (Bucket.BALANCE, 7),
        (Bucket.HOLD, 5),
        (Bucket.ROLLING_RESERVE, 3),
        (Bucket.PENDING_PAYOUTS, 2),
    ):
        await books.book(Adjustment(account, bucket, amount * SCALE, f"first-{bucket}", "a test"))
    async with reading(pair, 1.0, watch=watch) as reader:
        await read_there(reader, account)
        before = dict(reader.counts.sources)
        both = await asyncio.gather(*(reader.find(str(one)) for one in (account, uuid.uuid4(), account)))
        assert reader.counts.sources == before | {Source.REPLICA: before[Source.REPLICA] + 1}
        one, nobody, again = both
        assert nobody is None
        assert one is again
        assert one is not None
        assert (one.currency, one.balance, one.hold) == ("RUB", "7.00000000", "5.00000000")
        assert (one.rolling_reserve, one.pending_payouts) == ("3.00000000", "2.00000000")
        assert len(one.certificates) == 1

        async def told() -> bool:
            return bool(watch.told)

        await wait_until(told)
        assert watch.told == [("1, postgresql://postgres@/books", "used")]


@pytest.mark.by_the_clock
async def test_never_older_than_the_bound(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """While the replica lags, no answer lacks what was committed longer ago than the bound; then the primary answers,
    and the replica again once it has caught up."""
    bound = 1.0
    committed: list[float] = []
    async with reading(pair, bound) as reader:
        await read_there(reader, account)
        await pair.pause()

        over = asyncio.Event()

        async def book() -> None:
            while not over.is_set():
                await add(database, account)
                committed.append(time.monotonic())
                await asyncio.sleep(0.02)

        booking = asyncio.create_task(book())
        await asyncio.sleep(0)
        sources, late = set(), 0
        until = time.monotonic() + 2.5 * bound
        while (asked := time.monotonic()) < until:
            before = dict(reader.counts.sources)
            found = await balance(reader, account)
            sources |= {source for source in Source if reader.counts.sources[source] > before[source]}
            assert found >= sum(moment < asked - bound for moment in committed)
            late += found < len(committed)
            await asyncio.sleep(0.005)
        assert Source.REPLICA in sources
        assert Source.NO_REPLICA in sources
        assert late, "the replica did not lag, and nothing was shown"
        await pair.resume()
        await read_there(reader, account)
        over.set()
        await booking


async def test_a_revoked_certificate_is_refused_though_the_replica_lags(
    pair: Pair, database: Database, account: uuid.UUID
) -> None:
    """By the next read, which the replica answers: revoked, forbidden SHA-1, and freshness required."""
    registry = Registry(database)
    (certificate,) = await registry.certificates((await registry.account(account)).merchant)
    async with reading(pair, 30.0) as reader:
        await read_there(reader, account)
        await pair.pause()
        before = reader.counts.sources[Source.REPLICA]
        assert [one.sha1_allowed for one in (await find(reader, account)).certificates] == [True]
        await registry.allow_sha1(certificate.id, allowed=False)
        assert [one.sha1_allowed for one in (await find(reader, account)).certificates] == [False]
        await registry.require_fresh(account, required=True)
        assert (await find(reader, account)).requires_fresh
        await registry.revoke_certificate(certificate.id)
        assert (await find(reader, account)).certificates == ()
        assert reader.counts.sources[Source.REPLICA] == before + 4


async def test_an_answer_is_not_followed_by_an_older_one(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """What was told with a later entry is not taken back by a replica that lacks it, also within the bound."""
    async with reading(pair, 30.0) as reader:
        await read_there(reader, account)
        await pair.pause()
        await add(database, account, 5)
        assert await balance(reader, account) == 0  # within the bound
        reader._told.keep(str(account), Told(time.monotonic(), 1))
        assert await balance(reader, account) == 5
        before = reader.counts.sources[Source.OLD]
        assert await balance(reader, account) == 5
        assert reader.counts.sources[Source.OLD] == before + 1


async def test_a_new_account_is_there_at_once(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """The primary has it, though the replica has not."""
    registry = Registry(database)
    async with reading(pair, 30.0) as reader:
        await read_there(reader, account)
        await pair.pause()
        opened = await registry.open_account((await registry.account(account)).merchant, "USD")
        assert (await find(reader, opened.id)).currency == "USD"


async def test_due_means_released_on_the_replica_too(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """By the primary's clock, to the last lot: nobody has released it in the books."""
    books = Books(database)
    await books.book(
        SetPolicy(
            account, Policy(hold_percent=20 * SCALE, hold_days=1, reserve_percent=5 * SCALE, reserve_days=30), "terms"
        )
    )
    start = datetime.now(UTC)
    soon = start - timedelta(days=1) + timedelta(seconds=2)
    await books.book(Payment(account, 100 * SCALE, "p1", effective_at=soon))
    await books.book(Payment(account, 1000 * SCALE, "p2", effective_at=start - timedelta(hours=1)))
    async with reading(pair, 1.0) as reader:
        await read_there(reader, account)
        assert (await find(reader, account)).hold == "220.00000000"
        await asyncio.sleep(max(0.0, 2.1 - (datetime.now(UTC) - start).total_seconds()))
        await read_there(reader, account)
        before = dict(reader.counts.sources)
        found = await find(reader, account)
        assert (found.balance, found.hold, found.rolling_reserve) == ("845.00000000", "200.00000000", "55.00000000")
        assert reader.counts.sources == before | {Source.REPLICA: before[Source.REPLICA] + 1}


async def test_a_killed_replica_costs_no_answer(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """Reads go on while every process of it is killed, and it is used again when it is back."""
    async with reading(pair, 0.5) as reader:
        await read_there(reader, account)
        over, slowest = False, 0.0

        async def ask() -> None:
            nonlocal slowest
            while not over:
                begun = time.monotonic()
                await find(reader, account)
                slowest = max(slowest, time.monotonic() - begun)
                await asyncio.sleep(0)

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.1)
        await pair.kill_replica()
        await add(database, account, 3)
        assert await balance(reader, account) == 3
        await pair.start_replica()
        await read_there(reader, account)
        assert await balance(reader, account) == 3
        over = True
        await asking
        assert slowest < 1.0


async def test_a_server_that_does_not_follow_is_not_used(pair: Pair, account: uuid.UUID) -> None:
    """Other books have none of this worker's beats, however new they are; nor has a server that is not there."""
    await pair.primary.ask("postgres", f"CREATE DATABASE other_{(name := next(_names))}")
    other = url_of(pair.primary, f"other_{name}")
    async with await Database.open(other, create=True):
        pass
    nowhere = f"postgresql://postgres@/books?host={pair.primary.sockets}&port=1"
    watch = Watch()
    async with reading(pair, 1.0, other, nowhere, watch=watch) as reader:

        async def told() -> bool:
            await find(reader, account)
            return len(watch.told) == 2

        await wait_until(told)
        assert reader.counts.sources[Source.REPLICA] == 0
        assert [why for _, why in watch.told] == ["behind", "FileNotFoundError"]


async def test_without_the_primary_there_is_no_answer(pair: Pair, account: uuid.UUID) -> None:
    """Nobody could tell whether the certificate still is one, however well the replica is."""
    async with reading(pair, 30.0) as reader:
        await read_there(reader, account)
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'books'"
        await pair.primary.ask("postgres", "ALTER DATABASE books ALLOW_CONNECTIONS false")
        try:
            await pair.primary.ask("postgres", ends)
            for _ in range(3):
                with pytest.raises(DatabaseError):
                    await reader.find(str(account))
        finally:
            await pair.primary.ask("postgres", "ALTER DATABASE books ALLOW_CONNECTIONS true")
        await read_there(reader, account)


async def test_the_primary_of_two_hosts_is_the_primary(pair: Pair, database: Database, account: uuid.UUID) -> None:
    """Also when the URL names the standby first and does not say which one is meant: nobody dates the primary's
    numbers, so a standby's must not be taken for them."""
    nodes = (pair.replica, pair.primary)
    hosts, ports = ",".join(str(one.sockets) for one in nodes), ",".join(str(one.port) for one in nodes)
    nowhere = f"postgresql://postgres@/books?host={pair.primary.sockets}&port=1"
    both = f"postgresql://postgres@/books?host={hosts}&port={ports}"
    async with reading(pair, 1.0) as reader:
        await read_there(reader, account)
    await pair.pause()
    await add(database, account, 5)
    async with reading(pair, 1.0, nowhere, primary=both) as reader:
        assert await balance(reader, account) == 5


async def test_a_defect_does_not_end_the_use_of_replicas(
    pair: Pair, account: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one of the heartbeat nor one of whoever is told: it is told of once, and the next beat is in time."""

    class Broken(Watch):
        def replica_used(self, replica: str) -> None:
            super().replica_used(replica)
            raise OSError("the log's disk is full")

    beat, raised = Beats.beat, list[RuntimeError]()

    async def broken(self: Beats) -> bool:
        if len(raised) < 2:
            raised.append(RuntimeError("a defect"))
            raise raised[-1]
        return await beat(self)

    monkeypatch.setattr(Beats, "beat", broken)
    monkeypatch.setattr("alikassa.ledger.replicas.reader._FIRST_SECONDS", 0.0)
    watch = Broken()
    async with reading(pair, 0.25, watch=watch) as reader:
        await read_there(reader, account)

        async def told() -> bool:
            return bool(watch.told)

        await wait_until(told)
        await asyncio.sleep(0.5)  # two bounds: what was seen until then is too old
        await read_there(reader, account)
        assert watch.defects == raised[:1]


def test_a_server_with_a_replica(servers: Pair, serve: Callable[..., Server], archives: Callable[[str], Path]) -> None:
    """`serve --replica`: the log says that it is used, and a revoked certificate is refused though it lags."""

    async def prepare() -> Shop:
        await servers.start_replica()
        return await open_shop(servers.url, archives("payout"), archives("payment"))

    async def revoke(shop: Shop) -> None:
        await servers.pause()
        async with await Database.open(shop.database) as database:
            await Registry(database).revoke_certificate(uuid.UUID(shop.payout_certificate))

    shop = asyncio.run(prepare())
    server = serve(servers.url, "--replica", servers.replica_url, "--replica-staleness", "60")
    headers = signed(shop.payout, b"{}")
    until = time.monotonic() + 20
    while "replica in use" not in server.log() and time.monotonic() < until:
        assert server.request("POST", BALANCE_PATH, headers, b"{}")[::2] == (200, PAGE_ANSWER)
        time.sleep(0.05)
    assert '"replica": "1, postgresql://postgres@/books"' in server.log()
    asyncio.run(revoke(shop))
    try:
        assert server.request("POST", BALANCE_PATH, headers, b"{}")[0] == 400
    finally:
        asyncio.run(servers.resume())
