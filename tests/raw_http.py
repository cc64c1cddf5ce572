"""Requests to the byte, as no client library would let us send them, and the shape of every refusal."""

from __future__ import annotations

import functools
import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import PAGE_ACCOUNT, Server, make_shop, openssl_sign, start_server

PATH = "/v1/account/balance"
Headers = list[tuple[str, str | bytes]]

# What only the inside of a server knows: code, files, SQL.
INSIDES = re.compile(
    r'Traceback|File "|\.py\b|site-packages|/(?:work|tmp|home|root|usr)/|SELECT |INSERT |sqlite|asyncpg'
)

sign = functools.cache(openssl_sign)


@dataclass(frozen=True)
class Answer:
    """One response. Header names are in small letters."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def without_own(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All but what is this answer's alone: its time and its id."""
        kept = [one for one in self.headers if one[0] not in ("date", "x-request-id")]
        return self.status, kept, self.body


@contextmanager
def shop_server(folder: Path, archives: Callable[[str], Path], *options: str) -> Iterator[Server]:
    """A server for the tests of a module, with a shop in a database of its own. None of them changes its books."""
    database = f"sqlite:///{folder / 'books.db'}"
    make_shop(database, archives("payout"), archives("payment"))
    server = start_server(folder, database, *options)
    try:
        yield server
    finally:
        server.stop()


def balance_headers(
    archive: Path, body: bytes = b"{}", digest: str = "sha256", account: str = PAGE_ACCOUNT
) -> dict[str, str | bytes]:
    """The three headers of a balance request, to be changed by a test."""
    return {"Content-Type": "application/json", "Account": account, "Sign": sign(archive, body, digest)}


def request(
    headers: Iterable[tuple[str, str | bytes]],
    body: bytes | None = b"{}",
    *,
    method: str = "POST",
    path: str = PATH,
    keep_alive: bool = False,
) -> bytes:
    """A request's bytes, framed by Content-Length unless `body` is None. By default its connection ends with it."""
    lines: Headers = [("Host", "127.0.0.1"), *headers]
    if not keep_alive:
        lines.append(("Connection", "close"))
    if body is not None:
        lines.append(("Content-Length", str(len(body))))
    head = b"".join(
        b"%s: %s\r\n" % (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in lines
    )
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method.encode(), path.encode(), head, body or b"")


def chunked(headers: Iterable[tuple[str, str | bytes]], *chunks: bytes, keep_alive: bool = False) -> bytes:
    """A request whose body comes in these chunks."""
    head = request([*headers, ("Transfer-Encoding", "chunked")], None, keep_alive=keep_alive)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes; a reset counts as closing."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def parse(received: bytes, *, head_only: bool = False) -> list[Answer]:
    """The responses in what a connection brought."""
    answers: list[Answer] = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end, f"not a whole response: {received!r}"
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = 0 if head_only else int(dict(headers).get("content-length", "0"))
        assert len(rest) >= length, f"a response was cut: {received!r}"
        answers.append(Answer(int(status.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return answers


def talk(server: Server, data: bytes, *, head_only: bool = False) -> list[Answer]:
    """Send these bytes on a connection of their own, and read until the server closes it."""
    with connect(server) as connection:
        connection.sendall(data)
        return parse(read_all(connection), head_only=head_only)


def ask(server: Server, data: bytes) -> Answer:
    """The one answer to one request that ends its connection."""
    (answer,) = talk(server, data)
    return answer


def refusal(answer: Answer, status: int, *fields: str) -> dict[str, list[str]]:
    """What a refusal says, checked for the shape that every refusal has and for these fields, if any are named."""
    assert answer.status == status, answer
    assert answer.header("content-type") == "application/json"
    said = json.loads(answer.body)
    assert list(said) == ["message", "errors"]
    assert isinstance(said["message"], str)
    assert said["message"]
    if status == 400:
        assert said["message"] == "The given data was invalid."
    errors = said["errors"]
    assert isinstance(errors, dict)
    for texts in errors.values():
        assert isinstance(texts, list)
        assert texts
        assert all(isinstance(text, str) for text in texts)
    assert not INSIDES.search(answer.body.decode()), answer.body
    if fields:
        assert sorted(errors) == sorted(fields)
    return dict(errors)
