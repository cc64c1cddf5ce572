"""The three headers of a balance request, each sent any number of times."""

from __future__ import annotations

import re
import uuid

from alikassa.protocol.signatures import decode_sign
from alikassa.server.balance import Asked, _malformed
from fuzz.oracle import LONGEST

ACCOUNT = b"93d5df06-996c-48c3-9847-348d6b580b80"
_NAMES = {"a": "account", "s": "sign", "c": "content-type"}


class Headers:
    """Lines of `a`, `s` or `c` and a value: the headers as the web server hands them over."""

    def __init__(self, data: bytes) -> None:
        lines = data.decode("latin-1").split("\n")
        self.values = [(_NAMES[line[0]], line[1:]) for line in lines if line[:1] in _NAMES and line]

    def __contains__(self, name: str) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str) -> list[str]:
        return [value for one, value in self.values if one == name]


def seeds() -> list[bytes]:
    sign, kind = b"QUFB", b"application/json"
    lines = (b"a" + ACCOUNT, b"s" + sign, b"c" + kind)
    return [
        b"\n".join(lines),
        b"\n".join([b"a" + ACCOUNT.upper(), *lines[1:]]),
        b"\n".join([b"a{" + ACCOUNT + b"}", *lines[1:]]),
        b"\n".join([b"a" + ACCOUNT.replace(b"-", b""), *lines[1:]]),
        b"\n".join([*lines[:2], b"cApplication/JSON ; charset=utf-8"]),
        b"\n".join([*lines[:2], b"ctext/plain"]),
        b"\n".join([*lines, *lines]),
        b"s" + sign,
        b"a\xff\ns\xff\nc\xff",
        b"",
    ]


def _text(errors: dict[str, list[str]]) -> str:
    return " ".join(text for texts in errors.values() for text in texts)


def check(data: bytes) -> None:
    """What passes is one uuid, one signature and the one media type; a refusal names the field and repeats no Sign."""
    headers = Headers(data)
    asked = Asked(headers)
    errors = _malformed(asked.accounts, asked.signs, asked.types)
    said = _text(errors)
    assert len(said) <= LONGEST
    # Our own words may stand in it, too: those are said whatever it is.
    own = _text(_malformed(asked.accounts, ["?" * len(sign) for sign in asked.signs], asked.types))
    for sign in asked.signs:
        assert len(sign) < 16 or sign in own or sign not in said, "a refusal repeats Sign"
    if "account" not in errors:
        (account,) = asked.accounts
        assert re.fullmatch(r"[0-9A-Fa-f-]{36}", account)
        assert asked.account == str(uuid.UUID(account))
    else:
        assert asked.account == ""
    if "sign" not in errors:
        assert decode_sign(asked.sign)
    if "content_type" not in errors:
        (kind,) = asked.types
        # Space and tab around a value are HTTP's own, and no part of it.
        assert kind.strip(" \t").lower().startswith("application/json")
