"""Ids that tie answers to lines of the log, slow queries, traces: of whole programs."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import requests
from alikassa.ledger.slow import JOINED_READ
from conftest import PAGE_ACCOUNT, Server, Shop, run_cli, signed
from operator_server import make_tokens, operator_url
from raw_http import PATH, Answer, ask, balance_headers, request, shop_server

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
WRONG = base64.b64encode(b"\x01" * 256).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Server]:
    options = ("--operator-port", "0", "--limit-account", "3/hour", "--body-seconds", "0.3")
    with shop_server(tmp_path_factory.mktemp("correlation"), archives, *options) as one:
        yield one


def lines_of(server: Server, request_id: str) -> list[dict[str, Any]]:
    """What the log says of this request, waited for: some of it is found out after the answer."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        found = [json.loads(line) for line in server.log().splitlines() if request_id in line]
        if found:
            return found
        time.sleep(0.05)
    return []


def id_of(answer: Answer) -> str:
    """The id in the answer, of the one form that all have."""
    (found,) = [value for name, value in answer.headers if name == "x-request-id"]
    assert str(uuid.UUID(found)) == found
    assert uuid.UUID(found).version == 7
    return found


def said_of(server: Server, answer: Answer) -> tuple[str, dict[str, Any]]:
    (line,) = lines_of(server, id_of(answer))
    assert line["request_id"] == id_of(answer)
    return line["event"], line


def test_every_answer_but_the_quickest_has_an_id(server: Server, archives: Callable[[str], Path]) -> None:
    """Of the merchants' server: refusals, what is not there, what never came; and the first 200 of a signature. The
    ids differ. A signature that is known is answered without."""
    headers = balance_headers(archives("payout"))
    asked = [
        request(headers.items(), path="/nowhere"),
        request(headers.items(), method="GET"),
        request([], None, method="GET", path="/healthz"),
        request(headers.items(), b"x" * 20_000),
        request([]),
        request((headers | {"Sign": WRONG}).items()),
        request(headers.items(), None).replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"),
        request(headers.items()),
    ]
    answers = [ask(server, one) for one in asked]
    assert [one.status for one in answers] == [404, 405, 200, 413, 400, 400, 408, 200]
    assert len({id_of(one) for one in answers}) == len(answers)


def test_the_log_has_the_answers_id(server: Server, archives: Callable[[str], Path]) -> None:
    """Malformed, refused with its cause found out later, limited; with the caller's trace where it sent one."""
    headers = balance_headers(archives("payout"))
    traced = {"traceparent": PARENT}
    event, line = said_of(server, ask(server, request((headers | traced | {"Account": "no"}).items())))
    assert (event, line["fields"], line["trace_id"]) == ("malformed request", ["account"], TRACE)
    event, line = said_of(server, ask(server, request((headers | {"Sign": WRONG, "traceparent": PARENT[:-1]}).items())))
    assert (event, line["reason"], "trace_id" in line) == ("refused", "wrong_signature", False)
    limited = [ask(server, request(headers.items())) for _ in range(4)][-1]
    assert limited.status == 429
    assert said_of(server, limited)[0] == "limited"


def test_merchants_see_the_same_id(server: Server, archives: Callable[[str], Path]) -> None:
    """The log of requests has its row under the id that the answer carried."""
    headers = balance_headers(archives("payout"))
    given = {id_of(ask(server, request((headers | changed).items()))) for changed in ({"Sign": WRONG}, {"Sign": "?"})}

    async def rows() -> set[str]:
        url = f"sqlite:///{server.log_file.parent / 'books.db'}"
        async with await Database.open(url) as database, database.read() as connection:
            return {str(id_) for (id_,) in await connection.execute(sa.select(requests.c.id))}

    until = time.monotonic() + 5
    while not given <= asyncio.run(rows()):
        assert time.monotonic() < until
        time.sleep(0.2)


def operator_get(server: Server, path: str, token: str = "") -> tuple[int, str]:
    """Status and id; waits for the operator's process, which starts after the merchants'."""
    until = time.monotonic() + 10
    while True:
        connection = HTTPConnection("127.0.0.1", urlsplit(operator_url(server)).port or 0, timeout=20)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            answer.read()
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.1)
        else:
            return answer.status, answer.headers["X-Request-Id"]
        finally:
            connection.close()


def test_requests_beside_each_other_have_their_ids(server: Server) -> None:
    """On the operator's port, too, every answer has an id of its own, and so has the cabinet's."""
    with ThreadPoolExecutor(8) as pool:
        paths = ["/operator/v1/merchants", "/nowhere", "/cabinet/login", "/operator/healthz"] * 8
        answers = list(pool.map(operator_get, [server] * len(paths), paths))
    assert {status for status, _ in answers} == {401, 404, 200}
    assert len({uuid.UUID(one) for _, one in answers}) == len(paths)


def test_a_database_that_is_away_is_logged_with_the_id(tmp_path: Path, archives: Callable[[str], Path]) -> None:
    """503 on both ports. Such lines are seldom; each there is, is about one that was answered so."""
    with shop_server(tmp_path, archives, "--operator-port", "0") as server:
        token, _ = asyncio.run(make_tokens(f"sqlite:///{tmp_path / 'books.db'}"))
        assert operator_get(server, "/operator/healthz")[0] == 200
        (tmp_path / "books.db").rename(tmp_path / "away.db")
        time.sleep(1.1)
        answer = ask(server, request(balance_headers(archives("payout")).items()))
        assert answer.status == 503
        assert said_of(server, answer)[0] == "database"
        with ThreadPoolExecutor(4) as pool:
            path = f"/operator/v1/accounts/{PAGE_ACCOUNT}"
            answers = dict(pool.map(lambda _: operator_get(server, path, token)[::-1], range(8)))
        assert set(answers.values()) == {503}
        lines = [json.loads(line) for line in server.log().splitlines()]
        named = [line["request_id"] for line in lines if line["event"] == "database" and "request_id" in line]
        assert {id_of(answer)} < set(named) <= {id_of(answer), *answers}
        (tmp_path / "away.db").rename(tmp_path / "books.db")


def test_the_server_logs_them(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """`--slow-query 0` logs all, without anything of the request but its id; `none` logs none."""
    for option, some in (("0", True), ("none", False)):
        server = serve(sqlite_shop.database, "--slow-query", option)
        headers = signed(sqlite_shop.payout, b"{}")
        status, answered, _ = server.request("POST", PATH, headers, b"{}")
        assert status == 200
        server.stop()
        lines = [json.loads(line) for line in server.log().splitlines()]
        slow = [line for line in lines if line["event"] == "slow query"]
        assert bool(slow) is some
        if some:
            named = [line for line in slow if line.get("request_id") == answered["x-request-id"]]
            assert [(line["statement"], line["rows"]) for line in named] == [(JOINED_READ, 1)]
            assert any(line["statement"].startswith("INSERT INTO requests") for line in slow)
        assert PAGE_ACCOUNT not in server.log()
        assert headers["Sign"][:20] not in server.log()


@pytest.mark.parametrize("value", ["nan", "-1", "soon", ""])
def test_what_is_no_time_is_refused(value: str) -> None:
    """Before anything is started."""
    done = run_cli("serve", "--database", "sqlite:///none.db", "--slow-query", value)
    assert done.returncode == 2
    assert "Give seconds, as 0.5, or none." in done.stderr


def test_workers_export_by_themselves(
    sqlite_shop: Shop, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real server, with the console's exporter: the caller's trace is in the spans and in the log."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    server = serve(sqlite_shop.database, "--traces", "--workers", "2")
    headers = signed(sqlite_shop.payout, b"{}") | {"traceparent": PARENT}
    status, answered, _ = server.request("POST", PATH, headers | {"Account": "no"}, b"{}")
    assert status == 400
    assert server.request("POST", PATH, headers, b"{}")[0] == 200
    assert server.stop() == 0
    out = capfd.readouterr().out
    assert out.count('"name": "POST /v1/account/balance"') == 2
    assert f'"trace_id": "0x{TRACE}"' in out
    assert '"service.name": "alikassa"' in out
    (line,) = [json.loads(one) for one in server.log().splitlines() if answered["x-request-id"] in one]
    assert line["trace_id"] == TRACE
    assert headers["Sign"][:20] not in out


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    """By what serves, on both ports."""
    program = (
        "import sys, alikassa.server.serve, alikassa.cabinet.application as a; from alikassa.server.settings import *\n"
        "a.application(Settings('sqlite:///none.db'))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.') and '.semconv' not in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[]\n", done.stderr
