"""More connections than files allow: those past the bound wait for a place, and those inside notice nothing."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import conftest
from alikassa.server import web
from conftest import PAGE_ANSWER
from raw_http import balance_headers, connect, request, shop_server

PLACES = 4


@pytest.fixture
def few_files(tmp_path: Path, archives: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers may have so few files that there are `PLACES` for connections; they cannot raise that themselves."""
    for name in ("payout", "payment"):
        archives(name)
    program = tmp_path / "alikassa"
    program.write_text(f'#!/bin/sh\nulimit -n {web._OTHER_FILES + PLACES}\nexec "{conftest.ALIKASSA}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(conftest, "ALIKASSA", program)


def answered(connection: socket.socket, asking: bytes = b"") -> float:
    """In how many seconds the one answer came, which has the balance; the connection stays open."""
    begun = time.monotonic()
    if asking:
        connection.sendall(asking)
    received = b""
    while not received.endswith(PAGE_ANSWER):
        data = connection.recv(65536)
        assert data, received
        received += data
    assert received.startswith(b"HTTP/1.1 200 ")
    return time.monotonic() - begun


def is_silent(connection: socket.socket, seconds: float) -> bool:
    """Whether nothing comes for so long, not even an end."""
    readable, _, _ = select.select([connection], [], [], seconds)
    return not readable


@pytest.mark.by_the_clock
@pytest.mark.usefixtures("few_files")
def test_connections_past_the_bound_wait(tmp_path: Path, archives: Callable[[str], Path]) -> None:
    """They connect and are not answered while all places are taken; whenever one is given up, the next has it."""
    asking = request(balance_headers(archives("payout")).items(), keep_alive=True)
    with shop_server(tmp_path, archives) as server, ExitStack() as opened:
        inside, outside = ([opened.enter_context(connect(server)) for _ in range(count)] for count in (PLACES, 2))
        for connection in inside:
            answered(connection, asking)
        for connection in outside:
            connection.sendall(asking)
        assert is_silent(outside[0], 0.7)
        assert is_silent(outside[1], 0.3)
        assert max(answered(connection, asking) for connection in inside * 5) < 1
        for leaving, coming in zip(inside, outside, strict=False):
            leaving.close()
            assert answered(coming) < 1
        assert max(answered(connection, asking) for connection in (*inside[2:], *outside)) < 1
        assert server.process.poll() is None
