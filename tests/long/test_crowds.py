"""Many at once: slow ones, idle ones, and more than can be answered. Load is bounded, and to this machine."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from open_loop import Latencies, Step, run

from conftest import PAGE_ACCOUNT, Server, make_shop
from long.loads import known_requests
from long.processes import files_of, rss_of
from operator_server import API, operator_served
from raw_http import PATH, balance_headers, request, shop_server

SLOW = 2000
#: At the operator's port, which takes 2,048 connections and works on 256 requests: a body has to come while its request
#: is worked on.
SLOW_AT_THE_OPERATORS = {"headers": 1000, "bodies": 200}
#: Of those who ask beside the crowd.
RATE, SECONDS = 200, 5
#: How long the server waits for headers and bodies: longer than those are asking.
PATIENCE = 8


@pytest.fixture(scope="module", autouse=True)
def files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 30_000), hard))


def slow(what: str, port: int, path: str, kind: str) -> tuple[bytes, bytes]:
    """What a slow one sends first, and what again and again: of its headers, or of its body."""
    first = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    if what == "headers":
        return first.encode(), b"X-Slow: 1\r\n"
    # Whose account is read while the body is on its way.
    asks = f"Account: {PAGE_ACCOUNT}\r\nSign: {'A' * 344}\r\n"
    return f"{first}{asks}Content-Type: {kind}\r\nContent-Length: 1000\r\n\r\n".encode(), b" "


@pytest.mark.parametrize("what", ["headers", "bodies"])
def test_slow_senders_hinder_nobody(
    what: str, tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """2,000 sockets that send a little of a header, or of a body, every few seconds: others are answered as before, 99
    of 100 of them too, and the slow ones are closed when their time is up."""
    patience = ("--header-seconds", str(PATIENCE), "--body-seconds", str(PATIENCE))
    with shop_server(tmp_path, archives, *patience) as server:
        sent = slow(what, server.port, PATH, "application/json")
        alone, beside = _beside(server.port, known_requests(archives("payout")), sent, SLOW)
    _hinders_nobody(alone, beside, capsys)


@pytest.mark.parametrize("what", ["headers", "bodies"])
def test_slow_senders_hinder_nobody_at_the_operators_port(
    what: str, tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """1,000 who are slow with their headers there, or 200 with what they log in with, which strangers may send: who has
    a token is answered as before."""
    database = f"sqlite:///{tmp_path / 'books.db'}"
    make_shop(database, archives("payout"), archives("payment"))
    patience = ("--header-seconds", str(PATIENCE), "--body-seconds", str(PATIENCE))
    with operator_served(tmp_path, database, *patience) as served:
        port = urlsplit(served.url).port or 0
        bearer = [("Authorization", f"Bearer {served.operator.read_token}")]
        asked = [request(bearer, None, method="GET", path=f"{API}/accounts/{PAGE_ACCOUNT}", keep_alive=True)]
        sent = slow(what, port, "/cabinet/login", "application/x-www-form-urlencoded")
        alone, beside = _beside(port, asked, sent, SLOW_AT_THE_OPERATORS[what])
    _hinders_nobody(alone, beside, capsys)


def _beside(port: int, asked: Sequence[bytes], sent: tuple[bytes, bytes], count: int) -> tuple[Latencies, Latencies]:
    """Latencies of these requests alone, and beside so many slow ones, all of which are there meanwhile."""
    _latencies(port, asked, 2)
    alone = _latencies(port, asked)
    with _slow_senders(port, sent, count=count) as crowd:
        time.sleep(1)
        beside = _latencies(port, asked)
        assert crowd.closed() == 0
        time.sleep(PATIENCE)
        assert crowd.closed() > count * 0.9, "they were closed when their time was up"
    _latencies(port, asked, 1)
    return alone, beside


def _latencies(port: int, asked: Sequence[bytes], seconds: float = SECONDS) -> Latencies:
    """At a steady rate, measured from outside this process: the crowd is in it. Each must be answered."""
    total = run(port, asked, [Step(RATE, seconds)], connections=8, most=64).total
    assert total.ok == total.arrivals, total
    return total.ok_latency


def _hinders_nobody(alone: Latencies, beside: Latencies, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(
            f"\nhalf of the answers within {alone.p50_ms:.1f} ms alone, {beside.p50_ms:.1f} ms beside the crowd;"
            f" 99 % within {alone.p99_ms:.1f} and {beside.p99_ms:.1f} ms"
        )
    # Some turns of the event loop more, and what a busy machine adds.
    assert beside.p50_ms < alone.p50_ms * 3 + 5
    assert beside.p99_ms < alone.p99_ms * 3 + 20


def test_memory_of_an_idle_crowd(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """What 10,000 connections that only wait take, each; who asks beside them is answered; files are given back."""
    count = 10_000
    headers = {name: str(value) for name, value in balance_headers(archives("payout")).items()}
    with shop_server(tmp_path, archives, "--header-seconds", "10") as server:
        _times(server, headers, 50)
        before, files_before = rss_of(server.process.pid), files_of(server.process.pid)
        sent = slow("headers", server.port, PATH, "")
        with _slow_senders(server.port, sent, count=count, interval=3600) as crowd:
            until = time.monotonic() + 8
            while files_of(server.process.pid) < files_before + count and time.monotonic() < until:
                time.sleep(0.1)
            assert files_of(server.process.pid) >= files_before + count
            beside, times = rss_of(server.process.pid), _times(server, headers, 50)
            assert crowd.closed() == 0
        time.sleep(1)
        assert files_of(server.process.pid) <= files_before + 8
    with capsys.disabled():
        each = (beside - before) / count / 1024
        print(f"\nof {count:,} each takes {each:.1f} KiB; beside them half get theirs in {times[25] * 1e3:.1f} ms")
    assert beside - before < count * 50 * 1024


class _Crowd:
    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = 0

    def closed(self) -> int:
        return self.ended


@contextmanager
def _slow_senders(port: int, sent: tuple[bytes, bytes], *, count: int, interval: float = 2.0) -> Iterator[_Crowd]:
    """Connections in a thread of their own, each of which sends the beginning, and a little more now and then."""
    first, more = sent
    crowd, stop = _Crowd(), threading.Event()

    async def one() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            crowd.ended += 1
            return
        try:
            writer.write(first)
            while not stop.is_set():
                try:
                    if not await asyncio.wait_for(reader.read(1000), interval):
                        break
                except TimeoutError:
                    writer.write(more)
        except OSError:
            pass
        finally:
            crowd.ended += 1
            writer.close()

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(count)]
        await asyncio.to_thread(stop.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(all_of_them()))
    thread.start()
    try:
        yield crowd
    finally:
        stop.set()
        thread.join(60)


def _times(server: Server, headers: dict[str, str], count: int, *, patience: float = 10) -> list[float]:
    """How long each of some requests took over one connection, sorted."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=patience)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("POST", "/v1/account/balance", body=b"{}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append(time.perf_counter() - start)
    connection.close()
    return sorted(times)
