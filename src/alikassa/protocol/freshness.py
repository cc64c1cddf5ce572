"""A request that can be used once: a stamp in the signed body. Opt-in; the page's programs send none.

    {"account":"93d5df06-996c-48c3-9847-348d6b580b80","timestamp":1764000000,"nonce":"q8mVf0sTn2yWb7uJr5kXcA"}

- `account`: the uuid of the header Account, so that the signature is good for this account alone;
- `timestamp`: when it was made, in whole Unix seconds, a number;
- `nonce`: 22 to 64 letters, digits, `-` and `_`, chosen at random for this request: 128 bits or more.

All three or none. They stand in one JSON object, in any order; what else is in it is not looked at.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["FIELDS", "TOLERANCE_SECONDS", "Stamp", "has_stamp", "read_stamp", "stamped_body"]

#: How far a timestamp may be from the server's time, either way.
TOLERANCE_SECONDS = 300

FIELDS = ("account", "timestamp", "nonce")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NONCE = re.compile(r"[A-Za-z0-9_-]{22,64}", re.ASCII)
# The year 9999 ends before it: every timestamp below is a time that Python and both databases have.
_LATEST = 253_402_300_800
_NONCE_BYTES = 16

_MISSING = {
    "account": "The body has no account. Put the uuid of the header Account into it.",
    "timestamp": "The body has no timestamp. Put the time into it, in Unix seconds.",
    "nonce": "The body has no nonce. Put 22 random letters or digits into it, new ones for each request.",
}
_WRONG = {
    "account": "The body's account is not a uuid. Put the one of the header Account into it.",
    "timestamp": "The body's timestamp is not a time. Put Unix seconds into it, as a whole number.",
    "nonce": "The body's nonce is not 22 to 64 letters, digits, - or _. Make a new one for each request.",
}


class Stamp(NamedTuple):
    """`account` in small letters; `timestamp` in Unix seconds."""

    account: str
    timestamp: int
    nonce: str


def stamped_body(account: str, at: datetime) -> bytes:
    """A body that nobody has sent before, made at this time."""
    stamp = {"account": account, "timestamp": int(at.timestamp()), "nonce": secrets.token_urlsafe(_NONCE_BYTES)}
    return msgspec.json.encode(stamp)


def has_stamp(value: object) -> bool:
    """Whether this body, decoded, has any part of a stamp."""
    return isinstance(value, dict) and any(name in value for name in FIELDS)


def read_stamp(value: object) -> tuple[Stamp | None, dict[str, list[str]]]:
    """The stamp in a body, decoded, or None; and what is wrong by field when it is no whole one."""
    if not isinstance(value, dict) or not has_stamp(value):
        return None, {}
    account, timestamp, nonce = (value.get(name) for name in FIELDS)
    right = {
        "account": isinstance(account, str) and _UUID.fullmatch(account),
        # bool is an int in Python, not on the wire.
        "timestamp": isinstance(timestamp, int) and not isinstance(timestamp, bool) and 0 <= timestamp < _LATEST,
        "nonce": isinstance(nonce, str) and _NONCE.fullmatch(nonce),
    }
    errors = {name: [(_WRONG if name in value else _MISSING)[name]] for name in FIELDS if not right[name]}
    if errors:
        return None, errors
    return Stamp(str(account).lower(), timestamp or 0, str(nonce)), {}
