"""Limits of what was signed: whoever signed is charged once a request, before anything is written for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.server import freshness
from alikassa.server.limits.addresses import Addresses
from alikassa.server.limits.limiter import Limiter, counting
from alikassa.server.limits.rules import Rules
from conftest import PAGE_ACCOUNT, Shop
from test_freshness import AT, Worker, key_of, rows, stamped

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]

STRANGER = "203.0.113.7"


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop.database) as opened:
        yield opened


@asynccontextmanager
async def limited(
    database: Database, shop: Shop, *, failed: str = "off", certificate: str = "off", account: str = "off"
) -> AsyncIterator[Worker]:
    rules = Rules.of(address="off", failed=failed, certificate=certificate, account=account)
    worker = Worker(database, shop.payout, Limiter(rules, counting("memory", print), Addresses(())))
    try:
        yield worker
    finally:
        await worker.close()


async def statuses(worker: Worker, bodies: list[bytes], address: str = "198.51.100.1") -> list[int]:
    return [(await worker.ask(body, address=address)).status for body in bodies]


def new(count: int) -> list[bytes]:
    """Bodies with a nonce of their own."""
    return [stamped(nonce=f"{number:022}") for number in range(count)]


@pytest.mark.parametrize("kind", ["certificate", "account"])
async def test_who_is_told_to_wait_has_claimed_no_nonce(database: Database, shop: Shop, kind: str) -> None:
    """The same request may be sent again when there is room, and nothing was written for it."""
    async with limited(database, shop, **{kind: "2/hour"}) as worker:
        assert await statuses(worker, new(4)) == [200, 200, 429, 429]
        assert await rows(database) == 2
    async with limited(database, shop) as worker:
        assert await statuses(worker, new(4)) == [400, 400, 200, 200]


@pytest.mark.parametrize("kind", ["certificate", "account"])
async def test_what_is_sent_again_is_charged_again(database: Database, shop: Shop, kind: str) -> None:
    """Refused for its nonce, it counts as any other, until the limit; then so does whatever else was signed."""
    async with limited(database, shop, **{kind: "4/hour"}) as worker:
        assert await statuses(worker, [stamped()] * 6) == [200, 400, 400, 400, 429, 429]
        assert await statuses(worker, [b"{}", stamped(nonce="n" * 22)]) == [429, 429]


@pytest.mark.parametrize("body", [b"no JSON", stamped(timestamp=AT - 999), stamped(nonce="short"), b'{"nonce":""}'])
async def test_what_was_signed_long_ago_uses_up_nothing(database: Database, shop: Shop, body: bytes) -> None:
    """Signed well, and no JSON, too old or not whole: whoever got hold of it cannot lock its merchant out with it."""
    async with limited(database, shop, certificate="3/hour", account="3/hour") as worker:
        assert await statuses(worker, [body] * 10) == [400] * 10
        assert await statuses(worker, new(4)) == [200, 200, 200, 429]


async def test_what_is_answered_is_charged_once(database: Database, shop: Shop) -> None:
    """Whether its signature is new, known, or has to be looked at again although it is known."""
    async with limited(database, shop, certificate="20/hour") as worker:
        assert await statuses(worker, [b"{}", b"{}", b"{}", b"[]", *new(2)]) == [200] * 6
        await Registry(database).require_fresh(UUID(PAGE_ACCOUNT), required=True)
        assert await statuses(worker, [b"{}", b"[]"]) == [400] * 2
        await Registry(database).require_fresh(UUID(PAGE_ACCOUNT), required=False)
        assert await statuses(worker, [b"{}"] * 16) == [200] * 14 + [429] * 2


@pytest.mark.parametrize("sent", [stamped(), stamped(timestamp=AT - 999), b"no JSON"])
async def test_who_sends_it_again_is_bounded_by_his_address(database: Database, shop: Shop, sent: bytes) -> None:
    """Without any limit of the merchant's own, one whose signature is right counts as failed when it is refused. That
    keeps its sender waiting, and the merchant nowhere else."""
    async with limited(database, shop, failed="5/hour") as worker:
        found = await statuses(worker, [sent] * 20, STRANGER)
        assert found.count(400) in (5, 6), "the first past the limit is how that is found out"
        assert found[8:] == [429] * 12
        assert await statuses(worker, new(3)) == [200] * 3


async def test_who_has_used_up_his_nonces_has_not_failed(
    database: Database, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His 429 says so already: that address goes on being looked at."""
    monkeypatch.setattr(freshness, "MOST_NONCES", 1)
    async with limited(database, shop, failed="2/hour") as worker:
        assert await statuses(worker, new(6)) == [200] + [429] * 5
        assert await statuses(worker, [b'{"other":1}']) == [200]


async def test_what_was_signed_by_nobody_is_charged_to_nobody_else(database: Database, shop: Shop) -> None:
    """A wrong signature takes nothing of the certificate's, or of the account that it names."""
    async with limited(database, shop, certificate="3/hour", account="3/hour") as worker:
        stranger = [await worker.ask(b"{}", key=key_of(shop.payment), address=STRANGER) for _ in range(10)]
        assert {answer.status for answer in stranger} == {400}
        assert await statuses(worker, new(4)) == [200, 200, 200, 429]
