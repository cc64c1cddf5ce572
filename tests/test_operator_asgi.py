"""The operator's application sees through `Front` what it would see through the web server's own ASGI.

The web server itself, on the same requests, says what that is.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conftest import free_port

CLOSE = b"Host: here\r\nConnection: close\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@contextmanager
def served(interface: str, name: str) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", interface, "--port", str(port), "--no-ws", "--http", "1"]
    process = subprocess.Popen(
        [*command, f"asgi_echo:{name}"],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the web server did not start")


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """The web server's own ASGI, and ours on its RSGI."""
    with ExitStack() as stack:
        yield stack.enter_context(served("asgi", "application")), stack.enter_context(served("rsgi", "front"))


def ask(port: int, raw: bytes, *, cut: bool = False) -> bytes:
    """All that comes back until the connection is closed, but for the time. `cut` ends the sending half first."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(raw)
        if cut:
            connection.shutdown(socket.SHUT_WR)
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            received += b"<reset>"
    return re.sub(rb"date: [^\r]*\r\n", b"", received)


REQUESTS = {
    "a question": b"GET /a?b=c HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "an escaped path": b"GET /a%20b%2Fc%C3%A9?x=%20y&z=1 HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a badly escaped path": b"GET /a%ff%zz HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a path and a query that are not ASCII": "GET /é/Мир?q=Мир HTTP/1.1\r\n".encode() + CLOSE + b"\r\n",
    "an empty query": b"GET /a? HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "dots and slashes": b"GET //a//b/../c HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a whole URL": b"GET http://other/a?b HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "headers that come twice": b"GET /a HTTP/1.1\r\n" + CLOSE + b"X-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b\r\n\r\n",
    "a tab in a header": b"GET /a HTTP/1.1\r\n" + CLOSE + b"X-A: a\tb\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n",
    "HTTP/1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "HEAD": b"HEAD /a HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "an unknown method": b"BREW /a HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a body": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\n\r\nhello",
    "a body after a question whether it may come": b"POST /a HTTP/1.1\r\n"
    + CLOSE
    + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "an empty body": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 0\r\n\r\n",
    "no body": b"POST /a HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a large body": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "its length twice": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "its length as a list": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5, 5\r\n\r\nhello",
    "its length with a sign": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: +5\r\n\r\nhello",
    "chunks": b"POST /a HTTP/1.1\r\n" + CLOSE + JSON + CHUNKED + b"\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    "chunks and what trails": b"POST /a HTTP/1.1\r\n" + CLOSE + JSON + CHUNKED + b"\r\n1\r\nx\r\n0\r\nX-B: y\r\n\r\n",
    "chunks and a length": b"POST /a HTTP/1.1\r\n"
    + CLOSE
    + JSON
    + CHUNKED
    + b"Content-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a length and chunks": b"POST /a HTTP/1.1\r\n"
    + CLOSE
    + JSON
    + b"Content-Length: 3\r\n"
    + CHUNKED
    + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "pieces of an answer to what is not read": b"POST /a?unread HTTP/1.1\r\n"
    + CLOSE
    + CHUNKED
    + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "pieces of an answer that somebody holds": b"GET /a?held HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "pieces of an answer": b"GET /a?stream HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "pieces of an answer to HEAD": b"HEAD /a?stream HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "an empty answer": b"GET /a?empty HTTP/1.1\r\n" + CLOSE + b"\r\n",
}
CUT = {
    "a body cut short": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 50\r\n\r\nhello",
    "a large body cut short": b"POST /a HTTP/1.1\r\n" + CLOSE + b"Content-Length: 300000\r\n\r\n" + b"x" * 200_000,
}


@pytest.mark.parametrize("name", REQUESTS)
def test_it_sees_what_the_web_server_would_tell(name: str, ports: tuple[int, int]) -> None:
    own, ours = ports
    expected = ask(own, REQUESTS[name])
    assert expected.startswith(b"HTTP/1.")
    assert ask(ours, REQUESTS[name]) == expected


@pytest.mark.parametrize("name", CUT)
def test_half_a_body_is_none(name: str, ports: tuple[int, int]) -> None:
    """Nor with the web server's own: whoever asked counts as gone."""
    for port in ports:
        answer = ask(port, CUT[name], cut=True)
        assert b'"heard": "http.request"' not in answer
        assert not answer or b"http.disconnect" in answer


@pytest.mark.parametrize("value", [b"caf\xe9", "Мир".encode(), b"\xe9, 192.0.2.1"])
def test_a_header_that_cannot_be_read_is_there(value: bytes, ports: tuple[int, int]) -> None:
    """And not as something that could be meant, so that it is refused where it matters."""
    answer = ask(ports[1], b"GET /a HTTP/1.1\r\n" + CLOSE + b"Idempotency-Key: " + value + b"\r\nX-B: 3\r\n\r\n")
    headers = dict(json.loads(answer.partition(b"\r\n\r\n")[2])["headers"])
    assert headers["x-b"] == "3"
    assert not headers["idempotency-key"].isascii()


@pytest.mark.parametrize("kind", [b"", b"Content-Type: application/x-www-form-urlencoded\r\n"])
def test_chunks_of_what_could_end_anywhere_are_refused(kind: bytes, ports: tuple[int, int]) -> None:
    """Half of such a body may be a whole one, and the web server does not tell when it broke off."""
    raw = b"POST /a HTTP/1.1\r\n" + CLOSE + kind + CHUNKED + b"\r\n3\r\na=1\r\n0\r\n\r\n"
    assert ask(ports[1], raw).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("chunks", [b"0\r\n\r\n", b"zz\r\n"])
def test_chunks_of_nothing_are_refused(chunks: bytes, ports: tuple[int, int]) -> None:
    """A command that takes no body is not done for one that broke off before it began."""
    raw = b"POST /a HTTP/1.1\r\n" + CLOSE + JSON + CHUNKED + b"\r\n" + chunks
    assert ask(ports[1], raw).startswith(b"HTTP/1.1 411 ")


def test_an_answer_to_nobody_is_no_error(ports: tuple[int, int]) -> None:
    """Whoever hung up in the midst of it is told of by `receive`; sending goes on to nowhere."""
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /a?gone HTTP/1.1\r\nHost: here\r\n\r\n")
            assert connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(3)
        assert ask(port, b"GET /a?last HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b'["http.disconnect"]')


def test_whoever_has_begun_to_answer_is_told_no_body(ports: tuple[int, int]) -> None:
    """Nor that it cannot be taken: what was not read then is of no use any more."""
    raw = b"POST /a?unread HTTP/1.1\r\n" + CLOSE + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    assert ask(ports[1], raw).startswith(b"HTTP/1.1 200 ")
    assert ask(ports[1], b"GET /a?last HTTP/1.1\r\n" + CLOSE + b"\r\n").endswith(b'["http.disconnect"]')


def test_whoever_streams_is_told_when_the_answer_is_out(ports: tuple[int, int]) -> None:
    """While the connection stays open for the next request, which would else keep the last one's room."""
    for port in ports:
        raw = b"GET /a?stream HTTP/1.1\r\nHost: here\r\n\r\nGET /a?last HTTP/1.1\r\n" + CLOSE + b"\r\n"
        assert ask(port, raw).endswith(b'["http.disconnect"]')
