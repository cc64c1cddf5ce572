"""The log of requests when its database fails, or ours does: it costs rows, and no answer."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import structlog
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # re-exported there for applications

from alikassa.ledger import engines
from alikassa.ledger.database import Database
from alikassa.ledger.privileges import grant_server
from alikassa.ledger.reader import reader_for
from alikassa.protocol.signatures import Digest
from alikassa.server.application import Application
from alikassa.server.balance import BalanceEndpoint, Errors
from alikassa.server.log import RequestLog
from alikassa.server.refusals import Cause
from alikassa.server.requests import rows as rows_module
from alikassa.server.requests import writer as writer_module
from alikassa.server.requests.recorder import Recorder
from alikassa.server.settings import Settings
from alikassa.server.verification import Verified, Verifier
from conftest import PAGE_ACCOUNT, open_shop
from recorded import ACCOUNT, Sent, all_rows, asked, total, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sqlite(
    sqlite_url: str, archives: Callable[[str], Path], anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """A shop's books on SQLite that do not wait long for a lock."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
    await open_shop(sqlite_url, archives("payout"), archives("payment"))
    async with await Database.open(sqlite_url) as opened:
        yield opened


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


# A database that fails


async def test_nothing_is_written_when_nothing_was_asked(sqlite: Database, recorder: Recorder) -> None:
    """No transaction: readers keep what they have read."""
    with sqlite3.connect(sqlite.address.url.database or "") as other:
        before = other.execute("PRAGMA data_version").fetchone()
        await write(sqlite, recorder).flush()
        assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


async def test_a_locked_database_costs_rows_only(sqlite: Database, recorder: Recorder) -> None:
    """The write is given up, the log says how many are lost, and the next one goes through."""
    writer = write(sqlite, recorder)
    for _ in range(70):
        recorder.malformed(asked(), ["sign"])
    with sqlite3.connect(sqlite.address.url.database or "", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            await writer.flush()
        other.execute("ROLLBACK")
    other.close()
    (said,) = logs
    assert (said["event"], said["count"]) == ("requests missing from the merchants' log", 70)
    assert "locked" in said["problem"]
    recorder.malformed(asked(), ["sign"])
    await writer.flush()
    assert total(await all_rows(sqlite)) == 1


@pytest.mark.parametrize("url", ["sqlite:////nowhere/books.db", "postgresql://nobody@127.0.0.1:{port}/none"])
async def test_a_database_that_is_away_costs_rows_only(url: str, unused_port: int, recorder: Recorder) -> None:
    """Nothing is raised, and what goes on failing is not told of every second."""
    database = Database.attach(url.format(port=unused_port))
    writer = write(database, recorder)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            recorder.malformed(asked(), ["sign"])
            await writer.flush()
        await writer.close()
    assert [one["count"] for one in logs] == [1, 2]
    await database.close()


class Arriving:
    """One exchange as the web server gives it: a body that never arrives, or that fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self.status = 0

    def __call__(self) -> asyncio.Future[bytes]:
        arriving: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            arriving.set_exception(self._failure)
        return arriving

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status


async def test_failures_of_ours_are_seen_too(sqlite: Database) -> None:
    """A body that never came or broke off, a defect: each is a row of the account that was named."""
    headers = Sent({"account": PAGE_ACCOUNT, "sign": "AAAA", "content-type": "application/json", "content-length": "2"})
    scope = SimpleNamespace(method="POST", path="/v1/account/balance", headers=headers, client="192.0.2.7:1")
    application = Application(Settings(str(sqlite.address), body_seconds=0.05))
    await application.start()
    stalled, cut, failing = Arriving(), Arriving(ProtocolClosed()), Arriving(ArithmeticError("a defect"))
    for exchange in (stalled, cut, failing):
        await application.__rsgi__(scope, exchange)  # type: ignore[arg-type] # as much of the web server as is used
    await application.stop()
    assert (stalled.status, cut.status, failing.status) == (408, 400, 500)
    seen = {(row.account_id, row.verified, row.status, row.outcome, row.reason) for row in await all_rows(sqlite)}
    assert seen == {
        (ACCOUNT, False, 408, "malformed", "too_late"),
        (ACCOUNT, False, 400, "malformed", "cut_off"),
        (ACCOUNT, False, 500, "error", ""),
    }


async def test_an_absent_database_is_kept_in_mind(unused_port: int, recorder: Recorder) -> None:
    """That a request found the service unavailable is written as soon as there is a database again."""
    database = Database.attach(f"postgresql://nobody@127.0.0.1:{unused_port}/none")
    reader = reader_for(database)
    endpoint = BalanceEndpoint(database, reader, Verifier(), RequestLog(), Errors.UNIFORM, recorder)
    headers = Sent({"account": PAGE_ACCOUNT, "sign": "AAAA", "content-type": "application/json"})
    assert (await endpoint.answer(endpoint.begin(headers), b"{}")).status == 503
    (kept,) = recorder.take().rows
    assert (kept.account, kept.verified, kept.status, kept.outcome) == (PAGE_ACCOUNT, False, 503, "unavailable")
    await reader.close()
    await database.close()


async def test_the_serving_role_may_write_it(
    postgresql_url: str, archives: Callable[[str], Path], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the rights of `database grant` suffice to write, to prune and to note a use again."""
    monkeypatch.setattr(rows_module, "MOST_VERIFIED", 3)
    monkeypatch.setattr(writer_module, "USE_SECONDS", 0.0)
    shop = await open_shop(postgresql_url, archives("payout"), archives("payment"))
    signer = Verified(shop.payout_certificate, Digest.SHA256)
    role = f"merchants_{uuid.uuid4().hex[:8]}"
    async with await Database.open(postgresql_url) as database:
        async with database.write() as connection:
            await connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
        await grant_server(database, role)
        async with await Database.open(postgresql_url.replace("postgres:@", f"{role}@", 1)) as as_role:
            writer = write(as_role, recorder)
            for _ in range(3):
                recorder.ok(asked(), signer)
                recorder.ok(asked(), signer)
                await writer.flush()
        assert len(await all_rows(database)) == 3
    assert recorder.lost == 0


async def test_the_writer_ends_with_what_is_left(sqlite: Database, recorder: Recorder) -> None:
    """A stop writes what was gathered since the last time, at once."""
    writer = write(sqlite, recorder)
    writer.start()
    await asyncio.sleep(0)
    recorder.malformed(asked(), ["sign"])
    await writer.close()
    assert total(await all_rows(sqlite)) == 1


async def test_a_log_that_is_closed_looks_nothing_up() -> None:
    """A cause that comes after the end is told as unknown at once: the database may be closed by then."""
    log, told, looked = RequestLog(), list[object](), list[object]()

    async def cause() -> Cause:
        looked.append(cause)
        raise AssertionError

    await log.close()
    log.refused_later(ACCOUNT, cause, told.append, asked())
    await asyncio.sleep(0.01)
    assert (told, looked) == ([None], [])
