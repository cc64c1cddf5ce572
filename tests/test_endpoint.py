"""The endpoint by itself: what was read while the body was on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger.database import Database
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.replicas.settings import ReplicaSettings
from alikassa.server.application import Application
from alikassa.server.balance import FRESH_FROM_REPLICAS, FRESH_SECONDS, BalanceEndpoint, Errors
from alikassa.server.log import RequestLog
from alikassa.server.settings import Settings
from alikassa.server.verification import Verifier
from conftest import PAGE_ANSWER, Shop, signed

pytestmark = pytest.mark.anyio


class Sent:
    """Headers as the web server gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = {name.lower(): value for name, value in headers.items()}

    def __contains__(self, name: str, /) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str, /) -> list[str]:
        return [self._headers[name]] if name in self._headers else []


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop.database) as opened:
        yield opened


@pytest.fixture
async def endpoint(database: Database) -> AsyncIterator[BalanceEndpoint]:
    reader, log = reader_for(database), RequestLog()
    yield BalanceEndpoint(database, reader, Verifier(), log, Errors.UNIFORM)
    await log.close()
    await reader.close()


async def test_headers_and_then_a_body_give_an_answer(shop: Shop, endpoint: BalanceEndpoint) -> None:
    """The account is read from the moment the headers are there."""
    asked = endpoint.begin(Sent(signed(shop.payout, b"{}")))
    assert asked.reading is not None
    answer = await endpoint.answer(asked, b"{}")
    assert (answer.status, answer.body) == (200, PAGE_ANSWER)


async def test_a_slow_body_is_answered_from_a_new_read(
    shop: Shop, database: Database, endpoint: BalanceEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate revoked while a body took its time is refused: what was read when it began is not used."""
    monkeypatch.setattr(endpoint, "_fresh_seconds", 0.05)
    first = endpoint.begin(Sent(signed(shop.payout, b"{}")))
    assert (await endpoint.answer(first, b"{}")).status == 200
    asked = endpoint.begin(Sent(signed(shop.payout, b"{}")))
    assert asked.reading is not None
    await asyncio.wait([asked.reading])
    await Registry(database).revoke_certificate(UUID(shop.payout_certificate))
    await asyncio.sleep(0.06)
    assert (await endpoint.answer(asked, b"{}")).status == 400


@pytest.mark.parametrize(
    ("urls", "seconds"), [((), FRESH_SECONDS), (("postgresql://127.0.0.1:1/books",), FRESH_FROM_REPLICAS)]
)
async def test_what_replicas_told_may_wait_less_long_for_its_body(
    tmp_path: Path, urls: tuple[str, ...], seconds: float
) -> None:
    """Its age is part of the bound that was promised."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    application = Application(Settings(database=url, replicas=ReplicaSettings(urls)))
    database = await Database.open(url, create=True)
    application.serve_from(database, reader_for(database))
    assert application._endpoint._fresh_seconds == seconds
    await application.stop()


async def test_nothing_is_read_for_headers_that_name_nothing(shop: Shop, endpoint: BalanceEndpoint) -> None:
    """Without an account or without `Sign` the database is left alone."""
    headers = signed(shop.payout, b"{}")
    for missing in ({"Account": "nonsense"}, {"Sign": ""}):
        asked = endpoint.begin(Sent(headers | missing))
        assert asked.reading is None
        assert (await endpoint.answer(asked, b"{}")).status == 400


async def test_a_request_that_is_dropped_leaves_no_trace(shop: Shop, endpoint: BalanceEndpoint) -> None:
    """Its read is given up, and those that share it are answered."""
    dropped, asked = (endpoint.begin(Sent(signed(shop.payout, b"{}"))) for _ in range(2))
    dropped.drop()
    assert (await endpoint.answer(asked, b"{}")).status == 200
    assert dropped.reading is not None
    assert dropped.reading.cancelled()


async def test_a_read_that_failed_after_long_is_not_tried_again(shop: Shop, endpoint: BalanceEndpoint) -> None:
    """Whoever has waited is told, and does not wait as long once more."""
    asked = endpoint.begin(Sent(signed(shop.payout, b"{}")))
    asked.drop()
    asked.reading = asyncio.get_running_loop().create_future()
    asked.reading.set_exception(DatabaseUnavailableError("away"))
    asked.begun -= 1
    answer = await endpoint.answer(asked, b"{}")
    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "1")
