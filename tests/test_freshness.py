"""Requests that are good once: the stamp in the signed body is checked, and by accounts that want it required."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from alikassa.cli.commands.options import parse_amount
from alikassa.ledger import nonces as kept_nonces
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import nonces
from alikassa.server import freshness
from alikassa.server.answers import Answer
from alikassa.server.balance import BalanceEndpoint, Errors
from alikassa.server.freshness import Freshness
from alikassa.server.limits.limiter import Limiter
from alikassa.server.log import RequestLog
from alikassa.server.requests.kept import Outcome
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.remedies import STALE, remedies
from alikassa.server.verification import Verifier
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Shop
from stamped import check
from test_endpoint import Sent

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
NONCE = "q8mVf0sTn2yWb7uJr5kXcA"


#: Changes to a whole stamp, and the fields that are named then.
NOT_WHOLE: list[tuple[dict[str, Any], set[str]]] = [
    ({"nonce": ...}, {"nonce"}),
    ({"timestamp": ...}, {"timestamp"}),
    ({"account": ...}, {"account"}),
    ({"account": ..., "nonce": ...}, {"account", "nonce"}),
    ({"account": ..., "timestamp": ...}, {"account", "timestamp"}),
    ({"nonce": "x" * 21}, {"nonce"}),
    ({"nonce": "x" * 65}, {"nonce"}),
    ({"nonce": "ы" * 22}, {"nonce"}),
    ({"nonce": "x" * 22 + "\n"}, {"nonce"}),
    ({"nonce": 10**22}, {"nonce"}),
    ({"nonce": None}, {"nonce"}),
    ({"timestamp": str(AT)}, {"timestamp"}),
    ({"timestamp": AT + 0.5}, {"timestamp"}),
    ({"timestamp": True}, {"timestamp"}),
    ({"timestamp": 10**30}, {"timestamp"}),
    ({"timestamp": -1}, {"timestamp"}),
    ({"account": 7}, {"account"}),
    ({"account": f"{{{PAGE_ACCOUNT}}}"}, {"account"}),
    ({"account": "a3d5df06-996c-48c3-9847-348d6b580b80"}, {"account"}),
]


class Worker:
    """What answers in one process: an endpoint with what it remembers, over a database that others share."""

    def __init__(self, database: Database, payout: Path, limiter: Limiter | None = None) -> None:
        self.time = NOW
        self.recorder = Recorder()
        self.log, self.reader = RequestLog(), reader_for(database)
        self.freshness = Freshness(database, lambda: self.time)
        self.endpoint = BalanceEndpoint(
            *(database, self.reader, Verifier(), self.log, Errors.UNIFORM, self.recorder, self.freshness, limiter)
        )
        self._key = key_of(payout)

    async def ask(
        self,
        body: bytes,
        account: str = PAGE_ACCOUNT,
        key: RSAPrivateKey | None = None,
        address: str = "198.51.100.1",
    ) -> Answer:
        signature = (key or self._key).sign(body, PKCS1v15(), SHA256())
        headers = {
            "Content-Type": "application/json",
            "Account": account,
            "Sign": base64.b64encode(signature).decode("ascii"),
        }
        asked = self.endpoint.begin(Sent(headers), SimpleNamespace(client=f"{address}:4711"))
        assert asked.reading is not None
        await asyncio.wait([asked.reading])
        return self.endpoint.at_once(asked, body) or await self.endpoint.answer(asked, body)

    async def close(self) -> None:
        await self.freshness.close()
        await self.log.close()
        await self.reader.close()


def key_of(archive: Path) -> RSAPrivateKey:
    passphrase = (archive / "password.txt").read_bytes().strip()
    key = load_pem_private_key((archive / "private.pem").read_bytes(), passphrase)
    assert isinstance(key, RSAPrivateKey)
    return key


def stamped(**changes: Any) -> bytes:
    """A body with a whole stamp; a field that is changed to ... is left out."""
    fields = {"account": PAGE_ACCOUNT, "timestamp": AT, "nonce": NONCE} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def refused_for(answer: Answer) -> set[str]:
    assert answer.status == 400, answer
    told = json.loads(answer.body)
    assert list(told) == ["message", "errors"]
    assert told["message"] == "The given data was invalid."
    assert all(texts and all(texts) for texts in told["errors"].values())
    return set(told["errors"])


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop.database) as opened:
        yield opened


@pytest.fixture
async def worker(shop: Shop, database: Database) -> AsyncIterator[Worker]:
    one = Worker(database, shop.payout)
    yield one
    await one.close()


async def rows(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(nonces))).scalar_one())


async def test_a_stamped_request_is_good_once(worker: Worker, database: Database) -> None:
    """The balance, and then a refusal that names the nonce; the page's own body goes on being good."""
    first = await worker.ask(stamped())
    assert (first.status, first.body) == (200, PAGE_ANSWER)
    assert refused_for(await worker.ask(stamped())) == {"nonce"}
    assert refused_for(await worker.ask(stamped(more="and other bytes"))) == {"nonce"}
    assert (await worker.ask(stamped(nonce="another-one-of-them-is-good"))).status == 200
    assert [(await worker.ask(body)).body for body in (b"{}", b"{}", b"[]", b"null", b'"account"')] == [PAGE_ANSWER] * 5
    assert await rows(database) == 2


async def test_workers_agree(shop: Shop, database: Database, worker: Worker) -> None:
    """Of the same request, sent to two workers many times at once, one is answered."""
    async with await Database.open(shop.database) as another:
        second = Worker(another, shop.payout)
        bodies = [stamped(nonce=f"{number:022}") for number in range(20)]
        both = [one.ask(body) for body in bodies for one in (worker, second, worker)]
        answers = await asyncio.gather(*both)
        assert [sorted(one.status for one in answers[n : n + 3]) for n in range(0, 60, 3)] == [[200, 400, 400]] * 20
        await second.close()


async def test_a_nonce_is_used_also_after_a_restart(shop: Shop, worker: Worker) -> None:
    """It is in the database, and not in a process."""
    assert (await worker.ask(stamped())).status == 200
    async with await Database.open(shop.database) as another:
        later = Worker(another, shop.payout)
        assert refused_for(await later.ask(stamped())) == {"nonce"}
        await later.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_stamp_that_is_not_whole_is_refused(worker: Worker, database: Database) -> None:
    """Each field that is missing, malformed or another account's is named, and nothing is kept or remembered."""
    for changes, fields in NOT_WHOLE:
        for _ in range(2):
            assert refused_for(await worker.ask(stamped(**changes))) == fields, changes
    assert await rows(database) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_short_parts_of_a_stamp_are_not_remembered(worker: Worker) -> None:
    """A body that is short enough for the memory of signatures is refused every time."""
    for body in (b'{"nonce":""}', b'{"timestamp":1}', b'{"account":null}'):
        assert [(await worker.ask(body)).status for _ in range(3)] == [400] * 3
    assert [(await worker.ask(b'{"other":1}')).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_time_may_be_off_by_five_minutes(worker: Worker) -> None:
    """300 s either way are taken, one more is not; the refusal says by how much and which way."""
    found = {}
    for off in (-301, -300, 0, 300, 301):
        answer = await worker.ask(stamped(timestamp=AT + off, nonce=f"{off:022}"))
        found[off] = answer.status
        if answer.status == 400:
            assert refused_for(answer) == {"timestamp"}
            assert f"301 s {'ahead of' if off > 0 else 'behind'}" in answer.body.decode()
    assert found == {-301: 400, -300: 200, 0: 200, 300: 200, 301: 400}


async def test_an_account_may_require_it(worker: Worker, database: Database) -> None:
    """From the next request on, also for bodies that were remembered; and no more once it is allowed again."""
    account = UUID(PAGE_ACCOUNT)
    assert (await worker.ask(b"{}")).status == 200
    assert (await Registry(database).require_fresh(account, required=True)).requires_fresh
    assert (await Registry(database).account(account)).requires_fresh
    for body in (b"{}", b"[]", b"null", b'{"other":1}'):
        assert refused_for(await worker.ask(body)) == {"account", "timestamp", "nonce"}
    assert (await worker.ask(stamped())).status == 200
    assert refused_for(await worker.ask(stamped())) == {"nonce"}
    await Registry(database).require_fresh(account, required=False)
    assert (await worker.ask(b"{}")).status == 200


async def test_it_is_required_also_while_something_is_due(worker: Worker, database: Database) -> None:
    """What is counted of an account's lots does not lose the requirement."""
    account = UUID(PAGE_ACCOUNT)
    books = Books(database)
    await books.book(SetPolicy(account, Policy(hold_percent=parse_amount("100"), hold_days=1), "all is held"))
    long_ago = datetime.now(UTC) - timedelta(days=9)
    await books.book(Payment(account, 10**9, "due", effective_at=long_ago))
    await Registry(database).require_fresh(account, required=True)
    for _ in range(2):
        assert refused_for(await worker.ask(b"{}")) == {"account", "timestamp", "nonce"}
    answer = await worker.ask(stamped())
    assert (answer.status, json.loads(answer.body)["balance"]) == (200, "103.84000000")


async def test_only_who_signs_fills_the_table(
    worker: Worker, database: Database, archives: Callable[[str], Path]
) -> None:
    """A stranger's stamp, and one signed for payments, are refused as any wrong signature, and not kept."""
    await Registry(database).require_fresh(UUID(PAGE_ACCOUNT), required=True)
    for key in (key_of(archives("payment")),):
        for body in (stamped(), stamped(nonce="short"), b"{}"):
            assert refused_for(await worker.ask(body, key=key)) == {"sign"}
    assert await rows(database) == 0
    assert (await worker.ask(stamped())).status == 200


async def test_a_nonce_that_cannot_be_kept_is_not_answered(worker: Worker, database: Database) -> None:
    """503 to be tried again; what needs no nonce is answered all the same."""
    async with database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE nonces RENAME TO nowhere"))
    answer = await worker.ask(stamped())
    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "1")
    assert (await worker.ask(b"{}")).status == 200
    async with database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE nowhere RENAME TO nonces"))
    assert (await worker.ask(stamped())).status == 200


@pytest.mark.by_the_clock
async def test_a_database_that_hangs_is_not_waited_for(
    worker: Worker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 within the bound, while somebody else holds the table or the file."""
    monkeypatch.setattr(freshness, "_WRITE_SECONDS", 0.1)
    async with database.write() as connection:
        if database.is_postgresql:
            await connection.execute(sa.text("LOCK TABLE nonces IN ACCESS EXCLUSIVE MODE"))
        begun = time.monotonic()
        assert (await worker.ask(stamped())).status == 503
        assert time.monotonic() - begun < 2


@pytest.mark.by_the_clock
async def test_past_the_bound_a_nonce_does_not_wait(shop: Shop, worker: Worker, database: Database) -> None:
    """While the table or the file is held, so many wait; the next is told 503 at once, and none of the others is."""
    certificate = shop.payout_certificate

    async def claim(number: int) -> freshness.Refusal | None:
        body = json.loads(stamped(nonce=f"{number:022}"))
        return await check(worker.freshness, body, PAGE_ACCOUNT, certificate, required=True)

    async with database.write() as connection:
        if database.is_postgresql:
            await connection.execute(sa.text("LOCK TABLE nonces IN ACCESS EXCLUSIVE MODE"))
        first = [asyncio.create_task(claim(0))]
        await asyncio.sleep(0.05)  # it is being written, and waits for nobody but the database
        first += [asyncio.create_task(claim(number)) for number in range(1, 2001)]
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        answer = await worker.ask(stamped())
        assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "1")
        assert time.monotonic() - begun < 0.5
        assert not any(one.done() for one in first)
    assert await asyncio.gather(*first) == [None] * 2001
    assert (await worker.ask(stamped())).status == 200


async def test_old_nonces_go(worker: Worker, database: Database) -> None:
    """Once they could not be taken again by any server whose clock is within five minutes of this one's."""
    assert (await worker.ask(stamped())).status == 200
    worker.time = NOW + timedelta(seconds=600)
    assert (await worker.ask(stamped(timestamp=AT + 600, nonce="a" * 22))).status == 200
    assert await rows(database) == 2
    worker.time = NOW + timedelta(seconds=601)
    assert (await worker.ask(stamped(timestamp=AT + 601, nonce="b" * 22))).status == 200
    assert await rows(database) == 2
    assert refused_for(await worker.ask(stamped())) == {"timestamp"}


async def test_old_nonces_go_in_portions(database: Database) -> None:
    """The oldest first, no more than asked for."""
    wanted = [(kept_nonces.Nonce(PAGE_ACCOUNT, f"{n:022}"), NOW + timedelta(seconds=n)) for n in range(5)]
    async with database.write() as connection:
        assert len(await kept_nonces.claim_nonces(connection, wanted)) == 5
        now = NOW + kept_nonces.KEPT + timedelta(seconds=10)
        assert await kept_nonces.forget_nonces(connection, now, 3, [0]) == 3
        left = await connection.execute(sa.select(nonces.c.nonce).order_by(nonces.c.at))
        assert list(left.scalars()) == [f"{3:022}", f"{4:022}"]


async def test_a_certificate_has_so_many_nonces(
    worker: Worker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 with Retry-After beyond, and nothing is kept; when old ones have gone, it goes on."""
    monkeypatch.setattr(freshness, "MOST_NONCES", 3)
    monkeypatch.setattr(freshness, "_COUNT_AGAIN_SECONDS", 0.0)
    found = [await worker.ask(stamped(nonce=f"{n:022}")) for n in range(5)]
    assert [one.status for one in found] == [200, 200, 200, 429, 429]
    assert dict(found[-1].headers)["retry-after"] == "1"
    assert await rows(database) == 3
    assert (await worker.ask(b"{}")).status == 200
    worker.time = NOW + timedelta(seconds=601)
    assert [(await worker.ask(stamped(timestamp=AT + 601, nonce=f"{n:022}"))).status for n in (6, 7)] == [429, 200]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_merchants_see_why(worker: Worker, database: Database) -> None:
    """Each refusal is in the log of requests as a verified one, with a reason that has its remedy."""
    await worker.ask(stamped())
    for changes in ({}, {"nonce": ...}, {"timestamp": AT - 999}, {"account": "a3d5df06-996c-48c3-9847-348d6b580b80"}):
        await worker.ask(stamped(**changes))
    await Registry(database).require_fresh(UUID(PAGE_ACCOUNT), required=True)
    await worker.ask(b"{}")
    kept = [row for row in worker.recorder.take().rows if row.outcome is not Outcome.OK]
    assert [(row.reason, row.outcome.value, row.verified, row.status) for row in kept] == [
        ("used_nonce", "refused", True, 400),
        ("wrong_stamp", "malformed", True, 400),
        ("wrong_time", "refused", True, 400),
        ("other_account", "refused", True, 400),
        ("not_stamped", "malformed", True, 400),
    ]
    for row in kept:
        (remedy,) = remedies(row.outcome, row.reason)
        assert remedy in STALE.values()
        assert remedy.remedy.format(certificate=row.certificate)
