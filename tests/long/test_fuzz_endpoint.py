"""A hundred thousand requests that nobody should send: the balance endpoint answers each in time and says nothing of
its insides. `make test-long`; FUZZ_REQUESTS says how many."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import PAGE_ACCOUNT
from long.processes import rss_of
from raw_http import INSIDES, PATH, balance_headers, shop_server

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "100000"))
CONNECTIONS = 16
#: An answer has to come by then, also to a request that never ends: header and body times are set to a second.
SECONDS = 10.0
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

Change = Callable[[random.Random, bytes], bytes]


def _flip(chance: random.Random, request: bytes) -> bytes:
    """Some bytes are others."""
    text = bytearray(request)
    for _ in range(chance.randint(1, 8)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


def _cut(chance: random.Random, request: bytes) -> bytes:
    return request[: chance.randrange(len(request))]


def _double(chance: random.Random, request: bytes) -> bytes:
    start, end = sorted(chance.sample(range(len(request)), 2))
    return request[:end] + request[start:]


def _insert(chance: random.Random, request: bytes) -> bytes:
    place = chance.randrange(len(request))
    return request[:place] + chance.randbytes(chance.randint(1, 40)) + request[place:]


def _header(chance: random.Random, request: bytes) -> bytes:
    """A header more, of the kind that servers stumble over."""
    line = chance.choice(
        [
            b"Content-Length: 5",
            b"Content-Length: -1",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: 0x10",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: gzip",
            b"Expect: 100-continue",
            b"Upgrade: h2c",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Account: " + PAGE_ACCOUNT.encode(),
            b"Account: " + chance.randbytes(30).replace(b"\n", b"").replace(b"\r", b""),
            b"Sign: " + b"A" * chance.choice([0, 1, 343, 344, 345, 4000]),
            b"Sign: \xff\xfe",
            b"Content-Type: application/json; charset=utf-16",
            b"X-Forwarded-For: " + b"1.1.1.1," * chance.randint(1, 200),
            b": nothing",
            b"Host: " + b"a" * 300,
            b"Cookie: " + b"b" * 3000,
        ]
    )
    end = request.find(b"\r\n") + 2
    return request[:end] + line + b"\r\n" + request[end:]


def _path(chance: random.Random, request: bytes) -> bytes:
    path = chance.choice(
        [
            *(b"*", b"/", b"//", b"/v1/account/balance/", b"/v1/account/balance?x=%00", b"/../../etc/passwd"),
            *(b"/" + b"a" * 5000, b"http://evil.example/v1/account/balance", b"/%ff%fe", b"/healthz", b"/readyz"),
            *(b"/cabinet", b"/operator/v1"),
        ]
    )
    return request.replace(PATH.encode(), path, 1)


def _method(chance: random.Random, request: bytes) -> bytes:
    strange = (b"", b"POST\t", b"p" * 200)
    method = chance.choice([b"GET", b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT", b"PRI", *strange])
    return request.replace(b"POST", method, 1)


def _body(chance: random.Random, request: bytes) -> bytes:
    """A body of another length than it says, or none that is JSON."""
    head, _, _ = request.partition(b"\r\n\r\n")
    deep = (b"{" * 5000, b'{"a":' * 900)
    body = chance.choice([b"", b"{}", b"[]", *deep, b"\x00" * 16, b'"\\ud800"', b"1e999", b"a" * 16_384])
    stated = len(body) + chance.choice([0, 0, 0, -1, 1])
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % max(stated, 0), head)
    return head + b"\r\n\r\n" + body


CHANGES: list[Change] = [_flip, _cut, _double, _insert, _header, _header, _path, _method, _body, _body]


def test_nothing_that_is_sent_breaks_the_endpoint(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """No 500, no hang, no word of the insides, memory flat; a good request is answered before, between and after."""
    good = _good(archives("payout"))
    with shop_server(tmp_path, archives, "--header-seconds", "1", "--body-seconds", "1") as server:
        asyncio.run(_send(server.port, good, REQUESTS // 20, seed=1))
        before = rss_of(server.process.pid)
        statuses = asyncio.run(_send(server.port, good, REQUESTS, seed=2))
        after = rss_of(server.process.pid)
        assert server.process.poll() is None
        assert "unexpected error" not in server.log()
        assert "Traceback" not in server.log()
    with capsys.disabled():
        print(f"\n{REQUESTS} requests: {dict(sorted(statuses.items()))}; memory {before >> 20} -> {after >> 20} MiB")
    assert statuses[500] == 0
    assert statuses[200] > 0
    assert after < before * 1.2 + (20 << 20)


def _good(archive: Path) -> bytes:
    headers = {"Host": "localhost", **balance_headers(archive), "Content-Length": "2"}
    lines = [f"{name}: {value if isinstance(value, str) else value.decode()}" for name, value in headers.items()]
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *lines, "", "{}"]).encode()


async def _send(port: int, good: bytes, count: int, seed: int) -> Counter[int]:
    """So many requests over some connections at a time, each changed by a chance that a seed decides."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            chance = random.Random(seed * 10**9 + number)  # noqa: S311 - a fuzzer's choice
            request = good
            for _ in range(0 if number % 100 == 0 else chance.randint(1, 3)):
                request = chance.choice(CHANGES)(chance, request) or b"\r\n"
            try:
                answer = await asyncio.wait_for(_exchange(port, request), SECONDS)
            except TimeoutError:
                raise AssertionError(f"no end of an answer to {request!r}") from None
            found = STATUS.match(answer)
            status = int(found[1]) if found else 0
            statuses[status] += 1
            assert status != 500, f"{request!r}: {answer!r}"
            assert not INSIDES.search(answer.decode("latin-1")), f"{request!r}: {answer!r}"
            if number % 100 == 0:
                assert status == 200, f"{number}: {answer!r}"

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return statuses


async def _exchange(port: int, request: bytes) -> bytes:
    """Send it, and take the first answer, or whatever comes before the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    try:
        writer.write(request)
        await writer.drain()
        while chunk := await reader.read(64 * 1024):
            answer += chunk
            head, ended, body = bytes(answer).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if ended and (length is None or len(body) >= int(length[1])):
                break
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()
    return bytes(answer)
