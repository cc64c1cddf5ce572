"""Many at once: slow ones, idle ones, and more than can be answered. Load is bounded, and to this machine."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from conftest import Server
from long.processes import files_of, rss_of
from raw_http import balance_headers, shop_server

SLOW = 2000


@pytest.fixture(scope="module", autouse=True)
def files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 30_000), hard))


def test_slow_senders_hinder_nobody(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """2,000 sockets that send a header every few seconds: those connected are answered as before, and the slow ones
    are closed when their time is up."""
    headers = {name: str(value) for name, value in balance_headers(archives("payout")).items()}
    with shop_server(tmp_path, archives, "--header-seconds", "5") as server:
        alone = _times(server, headers, 200)
        with _slow_senders(server.port) as crowd:
            time.sleep(1)
            beside = _times(server, headers, 200, patience=20)
            time.sleep(6)
            assert crowd.closed() > SLOW * 0.9, "they were closed when their time was up"
        assert _times(server, headers, 50)
    with capsys.disabled():
        print(f"\nhalf of the answers within {alone[100] * 1e3:.1f} ms alone, {beside[100] * 1e3:.1f} ms beside {SLOW}")
    assert beside[100] < alone[100] * 5 + 0.02


def test_memory_of_an_idle_crowd(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """What 10,000 connections that only wait take, each; who asks beside them is answered; files are given back."""
    count = 10_000
    headers = {name: str(value) for name, value in balance_headers(archives("payout")).items()}
    with shop_server(tmp_path, archives, "--header-seconds", "10") as server:
        _times(server, headers, 50)
        before, files_before = rss_of(server.process.pid), files_of(server.process.pid)
        with _slow_senders(server.port, count=count, interval=3600) as crowd:
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
def _slow_senders(port: int, *, count: int = SLOW, interval: float = 2.0) -> Iterator[_Crowd]:
    """Connections in a thread of their own, each of which sends a little of a header now and then."""
    import threading

    crowd, stop = _Crowd(), threading.Event()

    async def one() -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            crowd.ended += 1
            return
        try:
            writer.write(b"POST /v1/account/balance HTTP/1.1\r\nHost: localhost\r\n")
            while not stop.is_set():
                try:
                    if not await asyncio.wait_for(reader.read(100), interval):
                        break
                except TimeoutError:
                    writer.write(b"X-Slow: 1\r\n")
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
