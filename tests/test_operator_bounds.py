"""The operator's side is bounded too: requests under way, and the time that a body may take."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from alikassa.server.operator.bounds import Bounds
from operator_server import API, operator_served

if TYPE_CHECKING:
    from litestar.types import Message, Receive, Scope, Send


@pytest.mark.by_the_clock
def test_a_body_that_stalls_is_refused_in_time(tmp_path: Path) -> None:
    """408 in the one shape, and the connection is closed; others are answered meanwhile and after."""
    with operator_served(tmp_path, f"sqlite:///{tmp_path / 'books.db'}", "--body-seconds", "1") as served:
        where = urlsplit(served.url)
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as connection:
            start = time.monotonic()
            connection.sendall(
                f"POST {API}/merchants HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {served.operator.write_token}\r\nContent-Length: 30\r\n\r\n"
                '{"name":'.encode()
            )
            assert served.operator.get("/merchants").status == 200
            received = b""
            while data := connection.recv(65536):
                received += data
            assert 0.9 < time.monotonic() - start < 5
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["error"]["type"] == "TooLate"
        assert served.operator.get("/merchants").json["merchants"] == []


@pytest.mark.anyio
async def test_past_the_bound_a_request_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While as many as may be are under way, the next is told 503 and when to come back; then there is room again."""
    monkeypatch.setattr("alikassa.server.operator.bounds.MOST_UNDER_WAY", 2)
    go_on = asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    statuses = Counter[int]()
    bounds = Bounds(slow, 1, statuses)

    async def ask(method: str = "POST") -> list[Any]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await bounds({"type": "http", "method": method}, None, send)  # type: ignore[arg-type]
        return sent

    under_way = [asyncio.create_task(ask()) for _ in range(2)]
    await asyncio.sleep(0)
    start, body = await ask()
    assert start["status"] == 503
    headers = dict(start["headers"])
    assert (headers[b"retry-after"], headers[b"cache-control"]) == (b"1", b"no-store")
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert json.loads(body["body"])["error"]["type"] == "Overloaded"
    assert (await ask("HEAD"))[1]["body"] == b""
    ids = {dict((await ask())[0]["headers"])[b"x-request-id"], headers[b"x-request-id"]}
    assert [uuid.UUID(one.decode()).version for one in ids] == [7, 7]
    assert statuses == {503: 3}
    go_on.set()
    assert [(await one)[0]["status"] for one in under_way] == [200, 200]
    assert (await ask())[0]["status"] == 200


@pytest.mark.anyio
async def test_what_is_not_worked_on_yet_waits_its_turn_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond as many as are worked on, the next begin in the order of coming; whoever waits too long is told 503."""
    monkeypatch.setattr("alikassa.server.operator.bounds.MOST_WORKED_ON", 2)
    monkeypatch.setattr("alikassa.server.operator.bounds.MOST_SECONDS", 0.2)
    begun: list[str] = []
    go_on = {name: asyncio.Event() for name in "abcde"}

    async def slow(scope: Scope, _receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await go_on[scope["path"]].wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    bounds = Bounds(slow, 1, Counter())

    async def ask(name: str) -> int:
        sent: list[Any] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await bounds({"type": "http", "method": "POST", "path": name}, None, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    tasks = {name: asyncio.create_task(ask(name)) for name in "abcd"}
    await asyncio.sleep(0.01)
    assert begun == ["a", "b"]
    go_on["b"].set()
    await asyncio.sleep(0.01)
    assert begun == ["a", "b", "c"]
    # Nobody ends in time for the fourth.
    assert await tasks["d"] == 503
    go_on["a"].set()
    go_on["c"].set()
    assert [await tasks[name] for name in "abc"] == [200, 200, 200]
    go_on["e"].set()
    assert await ask("e") == 200


@pytest.mark.anyio
async def test_a_body_is_late_by_its_own_time_alone() -> None:
    """Whoever waited for the database before the body was asked for is not told that it came too late."""

    async def waits(_scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await send(await receive())  # type: ignore[arg-type]

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"{}"}

    got: list[Message] = []

    async def send(message: Message) -> None:
        got.append(message)

    await Bounds(waits, 0.05, Counter())({"type": "http"}, receive, send)  # type: ignore[arg-type]
    assert got == [{"type": "http.request", "body": b"{}"}]
