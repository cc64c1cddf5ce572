"""Limits that are counted in a real Redis: all workers keep one count, and without it each keeps its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from behind_nginx import require
from conftest import Server, free_port
from raw_http import PATH, balance_headers, shop_server

LIMIT = 40


@contextmanager
def redis_at(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = require("redis-server", "redis-server")
    process = subprocess.Popen(
        [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder, "--loglevel", "warning"],
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def statuses(server: Server, archive: Path, address: str, count: int) -> list[int]:
    """Of requests on connections of their own, so that they meet each worker."""
    headers = {name: str(value) for name, value in balance_headers(archive).items()}
    headers["X-Forwarded-For"] = address
    return [server.request("POST", PATH, headers, b"{}")[0] for _ in range(count)]


@pytest.mark.by_the_clock
def test_workers_keep_one_count(tmp_path: Path, archives: Callable[[str], Path]) -> None:
    """Two workers let no more pass than the limit; while Redis hangs or is away each counts by itself, quickly and
    without refusing anybody for it; and when it is back they count together again."""
    archive, port = archives("payout"), free_port()
    limits = ("--limit-address", f"{LIMIT}/minute", "--limit-store", f"redis://127.0.0.1:{port}/0")
    options = ("--workers", "2", "--trusted-proxy", "127.0.0.1", *limits)
    with redis_at(port, tmp_path) as redis, shop_server(tmp_path, archives, *options) as server:
        asked = statuses(server, archive, "203.0.113.1", 2 * LIMIT)
        assert asked.count(200) == LIMIT
        assert set(asked) == {200, 429}

        redis.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        alone = statuses(server, archive, "203.0.113.2", 4 * LIMIT)
        assert LIMIT <= alone.count(200) <= 2 * LIMIT
        assert time.monotonic() - start < 5
        assert server.log().count("limits are counted by this worker alone") >= 1
        redis.send_signal(signal.SIGCONT)

        time.sleep(5.2)  # for so long it is left alone
        again = statuses(server, archive, "203.0.113.3", 2 * LIMIT)
        assert again.count(200) == LIMIT
        assert "203.0.113" not in server.log()
