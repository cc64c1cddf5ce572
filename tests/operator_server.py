"""The operator's API in tests: in this process, or as `alikassa serve` starts it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import structlog
from litestar.testing import TestClient

from alikassa.ledger.database import Database
from alikassa.ledger.tokens import Scope, Tokens
from alikassa.server.operator.application import application
from alikassa.server.settings import Settings
from conftest import Server, start_server

API = "/operator/v1"


@dataclass(frozen=True)
class Answered:
    """What came back; names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The refusal; the body must be nothing else."""
        (error,) = self.json.values()
        assert list(self.json) == ["error"]
        return dict(error)


class Sender(Protocol):
    """One request, one answer."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, /) -> Answered: ...


@dataclass(frozen=True)
class Operator:
    """Somebody with tokens who asks. `token` is the one that is sent, "" for none."""

    send: Sender
    write_token: str
    read_token: str
    token: str = ""
    database: str = ""

    def bearing(self, token: str) -> Operator:
        return replace(self, token=token)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        sent = {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(method, path, sent, body)

    def get(self, path: str) -> Answered:
        return self.ask("GET", API + path)

    def post(self, path: str, body: Any, *, key: str | None = None) -> Answered:
        headers = {"content_type": "application/json"} | ({} if key is None else {"idempotency_key": key})
        return self.ask("POST", API + path, json.dumps(body).encode(), **headers)

    def done(self, path: str, body: Any) -> Any:
        """What a POST that must succeed answers."""
        answer = self.post(path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def open_account(self, currency: str = "RUB") -> str:
        """The path of a new account of a new merchant."""
        merchant = self.done("/merchants", {"name": f"Shop {uuid.uuid4()}"})["id"]
        return f"/accounts/{self.done('/accounts', {'merchant': merchant, 'currency': currency})['id']}"

    def numbers(self, account: str) -> list[str]:
        """The account's four numbers."""
        found = self.get(account).json
        return [found[name] for name in ("balance", "hold", "rolling_reserve", "pending_payouts")]


async def make_tokens(database: str) -> tuple[str, str]:
    """A token that writes and one that reads."""
    async with await Database.open(database, create=True) as opened:
        made = [await Tokens(opened).create(scope.value, scope) for scope in (Scope.WRITE, Scope.READ)]
        return made[0][1], made[1][1]


@contextmanager
def operator_here(database: str) -> Iterator[Operator]:
    """The API in this process, without a server, and with new tokens."""
    write, read = asyncio.run(make_tokens(database))
    with operator_again(database, write, read) as operator:
        yield operator


@contextmanager
def operator_again(database: str, write: str, read: str = "") -> Iterator[Operator]:
    """As `operator_here`, with tokens that there are."""
    # It is swept when it begins, and not again.
    settings = Settings(database, sweep_seconds=3600)
    try:
        with TestClient(application(settings), raise_server_exceptions=False) as client:

            def send(method: str, path: str, headers: Mapping[str, str], body: bytes | None, /) -> Answered:
                got = client.request(method, path, headers=dict(headers), content=body)
                return Answered(got.status_code, {k.lower(): v for k, v in got.headers.items()}, got.content)

            yield Operator(send, write, read, write, database)
    finally:
        # Its log goes to this test's stderr, which is closed when the next one begins.
        structlog.reset_defaults()


def new_database(engine: str, request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> str:
    """The URL of empty books, for fixtures that many tests share."""
    url: str = request.getfixturevalue("copy_migrated")(engine, factory.mktemp("operator") / "books.db")
    return url


@dataclass(frozen=True)
class Served:
    """`alikassa serve` with both of its servers."""

    server: Server
    url: str
    operator: Operator


def operator_url(server: Server) -> str:
    """What the log says."""
    for line in server.log().splitlines():
        said = json.loads(line)
        if said["event"] == "operator serving":
            return str(said["url"])
    raise AssertionError(server.log())


@contextmanager
def operator_served(folder: Path, database: str, *options: str) -> Iterator[Served]:
    """The API as a person runs it."""
    write, read = asyncio.run(make_tokens(database))
    server = start_server(folder, database, "--operator-port", "0", *options)
    try:
        url = operator_url(server)
        port = urlsplit(url).port

        def send(method: str, path: str, headers: Mapping[str, str], body: bytes | None, /) -> Answered:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(method, path, body=body, headers=dict(headers))
                got = connection.getresponse()
                return Answered(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
            finally:
                connection.close()

        wait_until(lambda: _answers(send))
        yield Served(server, url, Operator(send, write, read, write, database))
    finally:
        server.stop()


def _answers(send: Sender) -> bool:
    try:
        return send("GET", "/operator/healthz", {}, None).status == 200
    except OSError:
        return False


def wait_until(condition: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
