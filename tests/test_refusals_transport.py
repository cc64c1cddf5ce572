"""What is refused before it is a balance request, and the HTTP that must work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import PAGE_ANSWER, Server, Shop
from raw_http import (
    INSIDES,
    PATH,
    Headers,
    ask,
    balance_headers,
    chunked,
    connect,
    parse,
    read_all,
    refusal,
    request,
    shop_server,
    talk,
)


@pytest.fixture(scope="module")
def payout(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(scope="module")
def server(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Quick to close what idles."""
    with shop_server(tmp_path_factory.mktemp("server"), archives, "--header-seconds", "1") as running:
        yield running


@pytest.fixture
def good(payout: Path) -> Headers:
    """The headers of a good request with the body {}."""
    return list(balance_headers(payout).items())


# Addresses and methods


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/account/nothing"), ("POST", f"{PATH}/"), ("GET", "/"), ("GET", "/../etc/passwd"), ("OPTIONS", "*")],
)
def test_unknown_address_is_404(server: Server, good: Headers, method: str, path: str) -> None:
    """An address where nothing is gets 404, in the shape of every refusal, whatever is sent there."""
    refusal(ask(server, request(good, method=method, path=path)), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post"])
def test_wrong_method_is_405(server: Server, good: Headers, method: str) -> None:
    """Another method than POST gets 405, and Allow names POST."""
    answer = ask(server, request(good, method=method))
    refusal(answer, 405)
    assert answer.header("allow") == "POST"


def test_wrong_method_for_a_probe_is_405(server: Server) -> None:
    """The health check says that it is read with GET."""
    answer = ask(server, request([], method="POST", path="/healthz"))
    refusal(answer, 405)
    assert "GET" in (answer.header("allow") or "")


@pytest.mark.parametrize(("path", "status"), [(PATH, 405), ("/nothing", 404)])
def test_head_is_refused_without_a_body(server: Server, path: str, status: int) -> None:
    """HEAD gets the status and no body, so that the connection stays in step."""
    (answer,) = talk(server, request([], None, method="HEAD", path=path), head_only=True)
    assert answer.status == status


# Sizes

OVERSIZED = {
    "one large header": [("X-Large", "x" * 100_000)],
    "many headers": [(f"X-{number}", "x") for number in range(1000)],
}


@pytest.mark.parametrize("extra", [pytest.param(extra, id=name) for name, extra in OVERSIZED.items()])
def test_too_large_headers_are_431(server: Server, good: Headers, extra: list[tuple[str, str]]) -> None:
    """Headers beyond what the server keeps get 431 and the end of the connection, and tell nothing of its insides."""
    answer = ask(server, request([*good, *extra], keep_alive=True))
    assert (answer.status, INSIDES.search(answer.body.decode())) == (431, None)


@pytest.mark.parametrize(
    "head",
    [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: two\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"],
    ids=["no request", "length that is no number", "TLS to a plain port"],
)
def test_what_is_not_http_is_400(server: Server, head: bytes) -> None:
    """Bytes that are no HTTP get 400 and the end of the connection, and tell nothing of the server's insides."""
    answer = ask(server, head)
    assert (answer.status, INSIDES.search(answer.body.decode())) == (400, None)


@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]], ids=["sent anyway", "asked for first"])
def test_announced_body_over_the_bound_is_refused_at_once(
    server: Server, good: Headers, expect: list[tuple[str, str]]
) -> None:
    """A Content-Length over the bound is 413 before a byte of the body has come, and ends the connection."""
    answer = ask(server, request([*good, *expect, ("Content-Length", "1000000000")], None, keep_alive=True))
    refusal(answer, 413, "body")


def test_chunked_body_without_end_is_refused(server: Server, good: Headers) -> None:
    """A chunked body is read up to the bound only: 413 comes although the body goes on, and ends the connection."""
    unended = chunked(good, *[b" " * 4096] * 5, keep_alive=True).removesuffix(b"0\r\n\r\n")
    refusal(ask(server, unended), 413, "body")


# Chunks

BROKEN = {
    "no hexadecimal length": b"zz\r\n{}\r\n0\r\n\r\n",
    "broken after the first chunk": b"2\r\n{}\r\nzz\r\n",
    "longer than its length": b"2\r\n{}}}0\r\n\r\n",
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BROKEN.items()])
def test_broken_chunks_end_the_connection(server: Server, good: Headers, body: bytes) -> None:
    """What follows malformed chunks is not taken for another request."""
    broken = request([*good, ("Transfer-Encoding", "chunked")], None, keep_alive=True) + body
    assert len(talk(server, broken + request(good))) <= 1


# HTTP that must work

H2C = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
]


def test_offer_of_h2c_is_ignored(server: Server, good: Headers) -> None:
    """A request that offers an upgrade to h2c is answered over HTTP/1.1, and its body is not lost."""
    (answer,) = talk(server, request([*good, *H2C], keep_alive=True))
    assert (answer.status, answer.body, answer.header("upgrade")) == (200, PAGE_ANSWER, None)


def test_pipelined_requests_are_answered_in_order(server: Server, good: Headers) -> None:
    """Two requests sent at once on one connection get their two answers in order."""
    first = request(good, method="GET", keep_alive=True)
    assert [answer.status for answer in talk(server, first + request(good))] == [405, 200]


@pytest.mark.parametrize("path", [PATH, "/nothing"])
def test_refusal_leaves_the_connection_usable(server: Server, good: Headers, path: str) -> None:
    """After a refused request, the next one on the same connection is answered; its unread body is not in the way."""
    wrong = request([("Content-Type", "text/plain"), *good[1:]], path=path, keep_alive=True)
    answers = talk(server, wrong + request(good))
    assert [answer.status for answer in answers][1:] == [200]


def test_expectation_is_met(server: Server, good: Headers) -> None:
    """A client that asks with `Expect: 100-continue` is told to go on before it sends the body, and is answered."""
    with connect(server) as client:
        client.sendall(request([*good, ("Expect", "100-continue"), ("Content-Length", "2")], None))
        interim = client.recv(65536)
        client.sendall(b"{}")
        (answer,) = parse(read_all(client))
    assert interim.startswith(b"HTTP/1.1 100 ")
    assert answer.body == PAGE_ANSWER


# Trouble of our own


def test_broken_database_tells_nothing_of_the_insides(
    sqlite_shop: Shop, serve: Callable[..., Server], good: Headers
) -> None:
    """When the database breaks under a warm server, the answer is a 5xx in the shape of every refusal."""
    server = serve(sqlite_shop.database, "--errors", "explain")
    ask(server, request(good))
    connection = sqlite3.connect(sqlite_shop.database.removeprefix("sqlite:///"))
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    connection.close()
    answer = ask(server, request(good))
    assert answer.status in (500, 503)
    refusal(answer, answer.status)


def test_readiness_fails_without_a_database(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """/readyz is 503 in the shape of every refusal once the database does not answer, while /healthz stays 200."""
    server = serve(sqlite_shop.database)
    database = sqlite_shop.database.removeprefix("sqlite:///")
    for file in (Path(database), Path(f"{database}-wal")):
        if file.exists():
            size = file.stat().st_size
            with file.open("r+b") as opened:
                opened.write(b"x" * size)
    ready = ask(server, request([], None, method="GET", path="/readyz"))
    healthy = ask(server, request([], None, method="GET", path="/healthz"))
    refusal(ready, 503)
    assert (healthy.status, json.loads(healthy.body)) == (200, {"status": "ok"})
