"""The body of a balance request, and the stamp in it."""

from __future__ import annotations

import json
import re
import uuid

from alikassa.protocol.freshness import FIELDS, has_stamp, read_stamp
from alikassa.server.balance import _json
from fuzz.oracle import LONGEST

_NONCE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def seeds() -> list[bytes]:
    stamp = (
        b'{"account":"93d5df06-996c-48c3-9847-348d6b580b80","timestamp":1764000000,"nonce":"q8mVf0sTn2yWb7uJr5kXcA"}'
    )
    return [
        *(b"{}", b"[]", b'""', b"null", b"{} ", b"\xef\xbb\xbf{}", b'{"a":{}}', b"1e999", b"NaN", b'"\\ud800"'),
        stamp,
        stamp.replace(b"1764000000", b"1764000000.0"),
        stamp.replace(b"1764000000", b"-1"),
        stamp.replace(b"1764000000", b"1" * 40),
        stamp.replace(b"1764000000", b"true"),
        stamp.replace(b"1764000000", b'"1764000000"'),
        stamp.replace(b"q8", b"\\u0071\xd0\xb6"),
        stamp.replace(b'"nonce"', b'"nonce":1,"nonce"'),
        stamp.replace(b'"93d5', b'{"a":"93d5').replace(b'0b80"', b'0b80"}'),
        stamp.upper(),
        b"[" * 2000,
        b'{"nonce":' * 200 + b"1" + b"}" * 200,
    ]


def check(data: bytes) -> None:
    """JSON is what Python's own parser takes for it; a stamp is whole, and each of its fields is what it says."""
    value, wrong = _json(data)
    if wrong:
        assert value is None
        assert len(wrong) <= LONGEST
        return
    # msgspec is the stricter one: what it takes, the other one takes for the same.
    said = json.loads(data)
    assert has_stamp(value) == (isinstance(said, dict) and any(name in said for name in FIELDS))
    stamp, errors = read_stamp(value)
    assert stamp is None or not errors
    assert set(errors) <= set(FIELDS)
    assert has_stamp(value) == bool(stamp or errors)
    if stamp is None:
        return
    assert stamp.account == str(uuid.UUID(said["account"]))
    assert re.fullmatch(r"[0-9A-Fa-f-]{36}", said["account"])
    assert type(said["timestamp"]) is int
    assert stamp.timestamp == said["timestamp"] >= 0
    assert stamp.nonce == said["nonce"]
    assert 22 <= len(stamp.nonce) <= 64
    assert set(stamp.nonce) <= _NONCE
