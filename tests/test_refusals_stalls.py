"""Clients that stall, drip or hang up: each is answered or closed in time, and keeps nobody else waiting."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET, socket

import pytest

from conftest import PAGE_ANSWER, Server, Shop
from raw_http import (
    Answer,
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

SECONDS = 1.0  # the server's patience
AT_MOST = 4.0  # what a busy machine may add to it


@pytest.fixture(scope="module")
def payout(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(scope="module")
def server(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With little patience."""
    patience = ("--body-seconds", str(SECONDS), "--header-seconds", str(SECONDS))
    with shop_server(tmp_path_factory.mktemp("server"), archives, *patience) as running:
        yield running


@pytest.fixture
def good(payout: Path) -> Headers:
    """The headers of a good request with the body {}."""
    return list(balance_headers(payout).items())


# Time


def stalled(server: Server, start: bytes) -> tuple[list[Answer], float]:
    """Send the start of a request and no more: what the server answers before it closes, and after how long."""
    started = time.monotonic()
    answers = talk(server, start)
    return answers, time.monotonic() - started


def dripped(server: Server, start: bytes, drop: bytes) -> tuple[bytes, float]:
    """Send the start of a request and then a drop every tenth of a second, for as long as the server takes them."""
    started = time.monotonic()
    with connect(server) as connection:
        connection.sendall(start)
        connection.settimeout(0.1)
        while time.monotonic() - started < 10:
            try:
                connection.sendall(drop)
                received = connection.recv(65536)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                received = b""
            return received, time.monotonic() - started
    raise AssertionError("the server waited for more than 10 seconds")


BEGUN = {
    "nothing of it": lambda good: request([*good, ("Content-Length", "2")], None, keep_alive=True),
    "half of it": lambda good: request([*good, ("Content-Length", "2")], None, keep_alive=True) + b"{",
    "no last chunk": lambda good: chunked(good, b"{}", keep_alive=True).removesuffix(b"0\r\n\r\n"),
}


@pytest.mark.by_the_clock
@pytest.mark.parametrize("begin", [pytest.param(begin, id=name) for name, begin in BEGUN.items()])
def test_stalled_body_is_answered_and_closed(
    server: Server,
    good: Headers,
    begin: Callable[[Headers], bytes],
) -> None:
    """A body that does not come within --body-seconds gets 408 in the shape of every refusal, and is closed."""
    (answer,), seconds = stalled(server, begin(good))
    refusal(answer, 408, "body")
    assert SECONDS * 0.9 <= seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_dripped_body_is_answered_and_closed(server: Server, good: Headers) -> None:
    """--body-seconds is for the whole body: a client that sends a byte now and then does not stretch it."""
    received, seconds = dripped(server, request([*good, ("Content-Length", "1000")], None, keep_alive=True), b" ")
    (answer,) = parse(received)
    refusal(answer, 408, "body")
    assert seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_stalled_headers_are_closed(server: Server) -> None:
    """A connection whose headers do not come within --header-seconds is closed."""
    answers, seconds = stalled(server, b"POST /v1/account/balance HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert [answer.status for answer in answers] in ([], [408])
    assert SECONDS * 0.9 <= seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_dripped_headers_are_closed(server: Server) -> None:
    """--header-seconds is for all headers: a client that sends a byte now and then does not stretch it."""
    _, seconds = dripped(server, b"POST /v1/account/balance HTTP/1.1\r\nX-Slow: ", b"x")
    assert seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_silent_connection_is_closed(server: Server) -> None:
    """A connection on which nothing is ever sent is closed."""
    answers, seconds = stalled(server, b"")
    assert answers == []
    assert seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_idle_connection_is_closed(server: Server, good: Headers) -> None:
    """A connection that idles after its answer is closed."""
    answers, seconds = stalled(server, request(good, keep_alive=True))
    assert [answer.status for answer in answers] == [200]
    assert SECONDS * 0.9 <= seconds < SECONDS + AT_MOST


@pytest.mark.by_the_clock
def test_stalled_clients_do_not_keep_others_waiting(server: Server, good: Headers) -> None:
    """While a hundred clients stall, another is answered at once."""
    clients = [connect(server) for _ in range(100)]
    for client in clients:
        client.sendall(BEGUN["half of it"](good))
    started = time.monotonic()
    answer = ask(server, request(good))
    seconds = time.monotonic() - started
    for client in clients:
        client.close()
    assert answer.status == 200
    assert seconds < SECONDS


# Shutdown


@pytest.mark.by_the_clock
def test_stalled_clients_do_not_hang_shutdown(sqlite_shop: Shop, serve: Callable[..., Server], good: Headers) -> None:
    """With clients stalled in headers, in body and after an answer, SIGTERM ends the server in --shutdown-seconds."""
    patience = ("--body-seconds", "60", "--header-seconds", "60")
    server = serve(sqlite_shop.database, *patience, "--shutdown-seconds", "2")
    clients = [connect(server) for _ in range(3)]
    for client, start in zip(
        clients, (b"POST / HTTP/1.1\r\n", BEGUN["half of it"](good), request(good, keep_alive=True)), strict=True
    ):
        client.sendall(start)
    assert clients[2].recv(65536).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    code = server.stop()
    seconds = time.monotonic() - started
    for client in clients:
        client.close()
    assert code == 0
    assert seconds < 2 + AT_MOST


def test_request_under_way_is_answered_before_shutdown(
    sqlite_shop: Shop, serve: Callable[..., Server], good: Headers
) -> None:
    """A request that has begun when SIGTERM comes is still answered."""
    server = serve(sqlite_shop.database)
    with connect(server) as client:
        client.sendall(BEGUN["half of it"](good))
        time.sleep(0.2)
        server.process.terminate()
        time.sleep(0.3)
        client.sendall(b"}")
        (answer,) = parse(read_all(client))
    assert (answer.status, answer.body) == (200, PAGE_ANSWER)


# Clients that hang up


def hang_up(client: socket) -> None:
    client.close()


def reset(client: socket) -> None:
    client.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def half_close(client: socket) -> None:
    client.shutdown(SHUT_WR)
    read_all(client)
    client.close()


def test_body_that_breaks_off_is_400(server: Server, good: Headers) -> None:
    """Who has closed his side before the body was whole, and still listens, is told so; the connection ends with it."""
    with connect(server) as client:
        client.sendall(request([*good, ("Content-Length", "20")], None) + b"{}")
        client.shutdown(SHUT_WR)
        (answer,) = parse(read_all(client))
    refusal(answer, 400, "body")
    assert answer.header("connection") == "close"


@pytest.mark.parametrize("leave", [hang_up, reset, half_close])
@pytest.mark.parametrize("begun", list(BEGUN))
def test_client_that_hangs_up_in_mid_body_is_forgotten(
    server: Server, good: Headers, leave: Callable[[socket], None], begun: str
) -> None:
    """A connection that ends in mid-body is no error of ours: no traceback in the log, and the server is well."""
    before = len(server.log())
    client = connect(server)
    client.sendall(BEGUN[begun](good))
    time.sleep(0.05)
    leave(client)
    time.sleep(0.1)
    answer = ask(server, request(good))
    logged = server.log()[before:]
    assert answer.status == 200
    assert "Traceback" not in logged
    assert '"error"' not in logged
