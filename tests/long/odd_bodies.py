"""Bodies that are signed as they should be, and are nothing that anybody would sign."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from conftest import PAGE_ACCOUNT

_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**63, 2**64, 10**300, "", "a", "\x00", "\ud83d\ude00", "a" * 65, [], [1], {}),
    *(
        {"account": PAGE_ACCOUNT},
        PAGE_ACCOUNT.upper(),
        PAGE_ACCOUNT.replace("-", ""),
        "A" * 22,
        "é" * 22,
        "' OR 1=1 --",
    ),
]


def odd_bodies() -> list[bytes]:
    """JSON of every kind, none at all, and stamps with one odd value each."""
    now = int(time.time())
    good = {"account": PAGE_ACCOUNT, "timestamp": now, "nonce": secrets.token_urlsafe(16)}
    stamps = [{**good, name: value} for name in good for value in _VALUES]
    parts = [{name: value for name, value in good.items() if name != without} for without in good]
    times = [{**good, "timestamp": now + off, "nonce": secrets.token_urlsafe(16)} for off in (-301, -299, 299, 301)]
    texts = [
        *(b"", b"null", b"true", b"0", b"-0", b"1e999", b"NaN", b'"a"', b'"\\ud800"', b"[]", b"[{}]", b" {} ", b"{}{}"),
        *(b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x00", b"{'a':1}", b'{"a":1,}', b"[" * 900 + b"]" * 900),
        *(b"[" * 8000, b'{"a":' * 2000, b"9" * 5000, b'{"timestamp":1,"timestamp":' + str(now).encode() + b"}"),
        *(b"a" * 16_384, b"a" * 16_385, b'{"nonce":"' + b"n" * 10_000 + b'"}'),
    ]
    return [*texts, *(json.dumps(one).encode() for one in (good, *stamps, *parts, *times))]
