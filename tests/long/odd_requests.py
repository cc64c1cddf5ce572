"""Requests that nobody should send, made from good ones by a chance that hypothesis decides.

Chance is asked for whole numbers and bytes alone: of those hypothesis draws each anew. What is drawn as a float or a
list it likes to try again as it was in another place, and then most requests have been sent before.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from conftest import PAGE_ACCOUNT
from raw_http import PATH

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
    start, end = sorted((chance.randrange(len(request)), chance.randrange(len(request))))
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


def _odd_header(chance: random.Random, request: bytes) -> bytes:
    """A header more, whose name or value no header has."""
    odd = chance.randbytes(chance.randint(1, 12)).replace(b"\n", b"")
    line = chance.choice(
        [
            odd + b": x",
            b"X-Odd: " + odd,
            b"Sign" + odd + b": AAAA",
            b"Account : " + odd,
            b"X Y: z",
            b"X-Folded: a\r\n b",
            b"Sign: \x00",
            b"X-Long: " + b"c" * chance.choice([100, 8_000, 70_000]),
            b"\r\n".join([b"X-Many: 1"] * chance.choice([10, 90, 200])),
        ]
    )
    end = request.find(b"\r\n") + 2
    return request[:end] + line + b"\r\n" + request[end:]


def _version(chance: random.Random, request: bytes) -> bytes:
    version = chance.choice(
        [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.9", b"http/1.1", b"HTTP/1.1 ", b"HTTPS/1.1"]
    )
    return request.replace(b"HTTP/1.1", version, 1)


def _chunks(chance: random.Random, request: bytes) -> bytes:
    """The body in chunks: very many tiny ones, with extensions and trailers, and such as are none."""
    head, _, body = request.partition(b"\r\n\r\n")
    # Content-Length beside it, at times: two words on where the body ends.
    if chance.randrange(10) < 7:
        head = re.sub(rb"\r\nContent-Length: \d+", b"", head)
    last = chance.choice(
        [b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\nSign: AAAA\r\n\r\n", b"0\r\n", b"", b"0;a=b\r\n\r\n", b"00000\r\n\r\n"]
    )
    pieces = [body[place : place + 1] for place in range(len(body))]
    framed = chance.choice(
        [
            b"".join(b"1\r\n%b\r\n" % piece for piece in pieces),
            b"".join(b"1;%b=1\r\n%b\r\n" % (b"x" * 200, piece) for piece in pieces[:50]),
            b"%x\r\n%b\r\n" % (len(body), body),
            b"1\r\n \r\n" * 5000,
            b"-1\r\n%b\r\n" % body,
            b"FFFFFFFFFFFFFFFFF\r\n%b\r\n" % body,
            b"%x\n%b\n" % (len(body), body),
            b"zz\r\n%b\r\n" % body,
            b"%x\r\n%b" % (len(body) + 3, body),
        ]
    )
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + last


def _pipeline(chance: random.Random, request: bytes) -> bytes:
    """Several on one connection, of which some are none."""
    between = chance.choice([b"", b"\r\n", b"\x00", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", chance.randbytes(20)])
    return between.join([request] * chance.randint(2, 20))


def _no_http(chance: random.Random, request: bytes) -> bytes:
    """What other programs say first."""
    return chance.choice(
        [
            bytes.fromhex("16030100c2010000be0303") + chance.randbytes(187),
            bytes.fromhex("1503010002022a"),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(60),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000") + request,
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request,
            b"SSH-2.0-OpenSSH_9.2\r\n",
            bytes.fromhex("0000000804d2162f"),
            b"\r\n" * 500 + request,
        ]
    )


CHANGES: list[Change] = [
    *(_flip, _cut, _double, _insert, _header, _header, _path, _method, _body, _body),
    *(_odd_header, _version, _chunks, _chunks, _pipeline, _no_http),
]


#: Several changes, one upon the other, could make thousands of requests of it. They are refused one after the other,
#: each on a beat of five milliseconds: longer than anybody waits here for an end.
_LONGEST = 400_000


def changed(chance: random.Random, request: bytes) -> bytes:
    """One to three changes of it."""
    for _ in range(chance.randint(1, 3)):
        request = chance.choice(CHANGES)(chance, request)[:_LONGEST] or b"\r\n"
    return request
