"""The log of requests, written by real servers: what it holds of each kind of request, and what it never holds."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import certificate_uses, requests
from alikassa.server.requests.kept import Outcome
from alikassa.server.requests.remedies import OUTCOMES, remedies
from conftest import PAGE_ACCOUNT, Server, Shop
from raw_http import Answer, ask, balance_headers, connect, parse, request, shop_server, sign

NOBODY = str(uuid.UUID(int=0))
STRANGER = "ffffffff-ffff-4fff-bfff-ffffffffffff"
WRONG = base64.b64encode(b"\x01" * 256).decode()


def read(database: str, table: sa.Table = requests) -> list[Any]:
    """All rows of a table."""

    async def rows() -> list[Any]:
        opened = Database.attach(database)
        try:
            async with opened.read() as connection:
                return list((await connection.execute(sa.select(table))).all())
        finally:
            await opened.close()

    return asyncio.run(rows())


def total(rows: list[Any]) -> int:
    """How many requests these rows stand for."""
    return sum(1 + row.others for row in rows)


def wait_for(database: str, count: int, seconds: float = 5.0) -> list[Any]:
    """The rows, as soon as they stand for so many requests."""
    until = time.monotonic() + seconds
    while total(rows := read(database)) < count and time.monotonic() < until:
        time.sleep(0.05)
    return rows


def pipelined(server: Server, wanted: list[bytes]) -> list[Answer]:
    """The answers to requests that keep their connection, sent many at a time."""
    answers: list[Answer] = []
    with connect(server) as connection:
        for start in range(0, len(wanted), 50):
            part = wanted[start : start + 50]
            connection.sendall(b"".join(part))
            received = b""
            while received.count(b"HTTP/1.1 ") < len(part) or not received.endswith(b"}"):
                received += connection.recv(65536)
            answers += parse(received)
    return answers


# Name: headers that are changed, the body, and what the row says: account, verified, status, outcome, reason, digest.
Case = tuple[dict[str, str], bytes, tuple[str, bool, int, str, str, str]]


def cases(shop: Shop) -> dict[str, Case]:
    good, bad, nobody = (PAGE_ACCOUNT, True), (PAGE_ACCOUNT, False), (NOBODY, False)
    stranger = {"Account": STRANGER}
    return {
        "answered": ({}, b"{}", (*good, 200, "ok", "", "sha256")),
        "answered, SHA-1": ({"Sign": sign(shop.payout, b"[]", "sha1")}, b"[]", (*good, 200, "ok", "", "sha1")),
        "no JSON": ({"Sign": sign(shop.payout, b"x")}, b"x", (*good, 400, "malformed", "malformed:body", "sha256")),
        "wrong": ({"Sign": WRONG}, b"{}", (*bad, 400, "refused", "wrong_signature", "")),
        "short": ({"Sign": "AAAA"}, b"{}", (*bad, 400, "refused", "wrong_length", "")),
        "payment": (
            {"Sign": sign(shop.payment, b"{}")},
            b"{}",
            (*bad, 400, "refused", "payment_certificate", "sha256"),
        ),
        "stranger": (stranger, b"{}", (*nobody, 400, "refused", "unknown_account", "")),
        "stranger's type": (
            stranger | {"Content-Type": "text/plain"},
            b"{}",
            (*nobody, 400, "malformed", "malformed:content_type", ""),
        ),
        "two fields": (
            {"Sign": "?", "Content-Type": "text/plain"},
            b"{}",
            (*bad, 400, "malformed", "malformed:content_type,sign", ""),
        ),
        "no account": ({"Account": "?"}, b"{}", (*nobody, 400, "malformed", "malformed:account", "")),
        "too large": ({}, b"{}" + b" " * 20_000, (*bad, 413, "malformed", "too_large", "")),
    }


def test_every_kind_of_request_is_seen(shop: Shop, serve: Callable[..., Server]) -> None:
    """Soon there is a row of each, from whichever worker, with its precise reason and its remedy. Of
    many alike some are only counted, and the certificates' uses are noted. No `Sign` is anywhere."""
    server = serve(shop.database, "--workers", "2")
    headers = balance_headers(shop.payout) | {"User-Agent": "shop/1.0"}
    expected: Counter[tuple[str, bool, int, str, str, str]] = Counter()
    signs = {str(headers["Sign"])}
    for changes, body, row in cases(shop).values():
        assert ask(server, request((headers | changes).items(), body)).status == row[2]
        expected[row] += 1
        signs.add(changes.get("Sign", ""))
    again = [request(headers.items(), keep_alive=True)] * 150
    assert {answer.status for answer in pipelined(server, again)} == {200}
    expected[PAGE_ACCOUNT, True, 200, "ok", "", "sha256"] += 150

    rows = wait_for(shop.database, expected.total())
    seen: Counter[tuple[str, bool, int, str, str, str]] = Counter()
    for row in rows:
        key = (str(row.account_id), row.verified, row.status, row.outcome, row.reason, row.digest)
        seen[key] += 1 + row.others
    assert seen == expected
    assert len(rows) < 100
    for row in rows:
        assert (row.endpoint, row.address, row.user_agent) == ("/v1/account/balance", "127.0.0.1", "shop/1.0")
        assert 0 < row.micros < 5_000_000
        if row.reason:
            assert OUTCOMES[Outcome(row.outcome)] not in remedies(Outcome(row.outcome), row.reason)
    signers = {row.reason: str(row.certificate_id) for row in rows if row.certificate_id is not None}
    payout = dict.fromkeys(("", "malformed:body"), shop.payout_certificate)
    assert signers == payout | {"payment_certificate": shop.payment_certificate}

    uses = {(str(use.certificate_id), use.digest) for use in read(shop.database, certificate_uses)}
    assert uses == {(shop.payout_certificate, "sha256"), (shop.payout_certificate, "sha1")}
    assert server.stop() == 0
    kept = str([tuple(row) for row in read(shop.database)]) + server.log()
    for one in filter(lambda text: len(text) > 8, signs):
        assert one not in kept
        assert one[:40] not in kept
        assert base64.b64decode(one).hex()[:40] not in kept


def test_a_flood_of_junk_hides_nothing(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """3,000 requests of strangers: the merchant's answered ones are all there, so is the reason of a mistake that was
    made meanwhile, and rows and counts add up to all that was sent."""
    server = serve(sqlite_shop.database)
    headers = balance_headers(sqlite_shop.payout)
    for _ in range(5):
        assert ask(server, request(headers.items())).status == 200
    junk = [
        request((headers | changes).items(), keep_alive=True)
        for number in range(1000)
        for changes in ({"Account": str(uuid.UUID(int=number))}, {"Sign": WRONG}, {"Account": f"?{number}"})
    ]
    half = len(junk) // 2
    assert _statuses(server, junk[:half]) == {400}
    mistake = request((headers | {"Sign": sign(sqlite_shop.payment, b"{}"), "User-Agent": "mistaken"}).items())
    assert ask(server, mistake).status == 400
    assert _statuses(server, junk[half:]) == {400}
    time.sleep(1.1)
    again = request((headers | {"Sign": sign(sqlite_shop.payment, b"{}")}).items())
    assert ask(server, again).status == 400
    wait_for(sqlite_shop.database, 3007)
    assert server.stop() == 0
    rows = read(sqlite_shop.database)
    assert total([row for row in rows if row.verified]) == len([row for row in rows if row.verified]) == 5
    assert total(rows) == 3007
    by_reason = Counter({row.reason: 0 for row in rows})
    for row in rows:
        by_reason[row.reason] += 1 + row.others
    assert by_reason["malformed:account"] == 1000
    assert by_reason["unknown_account"] == 1000
    assert by_reason["payment_certificate"] >= 1


def _statuses(server: Server, requests: list[bytes]) -> set[int]:
    """Of all of them, over some connections at once: each refusal takes a few milliseconds, on purpose."""
    parts = [requests[start::16] for start in range(16)]
    with ThreadPoolExecutor(len(parts)) as pool:
        return {
            answer.status for answers in pool.map(lambda part: pipelined(server, part), parts) for answer in answers
        }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Server]:
    """A server for the tests that take its database away."""
    with shop_server(tmp_path_factory.mktemp("away"), archives) as started:
        yield started


@pytest.mark.by_the_clock
def test_a_locked_database_slows_no_answer(server: Server, archives: Callable[[str], Path]) -> None:
    """While another program holds the lock, balances are told as before; what was asked meanwhile is written after."""
    database = server.log_file.parent / "books.db"
    good = request(balance_headers(archives("payout")).items())
    assert ask(server, good).status == 200
    before = total(read(f"sqlite:///{database}"))
    with sqlite3.connect(database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        slowest = 0.0
        until = time.monotonic() + 1.3
        count = 0
        while time.monotonic() < until:
            begun = time.monotonic()
            assert ask(server, good).status == 200
            slowest = max(slowest, time.monotonic() - begun)
            count += 1
            time.sleep(0.01)
        other.execute("ROLLBACK")
    other.close()
    assert slowest < 1
    assert total(wait_for(f"sqlite:///{database}", before + count)) >= before + count


def test_a_database_that_is_gone_is_not_made_anew(server: Server, archives: Callable[[str], Path]) -> None:
    """The log leaves an absent file alone, and goes on when it is back."""
    database = server.log_file.parent / "books.db"
    good = request(balance_headers(archives("payout")).items())
    away = database.with_name("away.db")
    database.rename(away)
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert ask(server, good).status in (200, 503)
        time.sleep(0.05)
    assert not database.exists()
    away.rename(database)
    while ask(server, good).status != 200 and time.monotonic() < until + 5:
        time.sleep(0.05)
    before = total(read(f"sqlite:///{database}"))
    assert total(wait_for(f"sqlite:///{database}", before + 1)) > before
