"""The header `Sign`."""

from __future__ import annotations

import base64
import binascii

from alikassa.errors import InvalidInputError
from alikassa.protocol.signatures import decode_sign, encode_sign
from fuzz.oracle import see_refusal


def seeds() -> list[bytes]:
    good = base64.b64encode(bytes(range(256)))
    return [
        *(good, good[:-1], good[:-2], good + b"=", good + b"\n", good[:76] + b"\r\n" + good[76:], b" " + good),
        *(base64.urlsafe_b64encode(bytes(range(256))), good[:-3] + b"9==", good[:-2] + b"h=", b"AA=A", b"====", b""),
        *(base64.b64encode(bytes(1024)), base64.b64encode(bytes(1025)), b"QQ==", b"QR==", "é".encode() + good),
    ]


def check(data: bytes) -> None:
    """What is taken is what base64 makes of it, in the one spelling that it has; a refusal does not repeat it."""
    text = data.decode("utf-8", "replace")
    try:
        signature = decode_sign(text)
    except InvalidInputError as error:
        see_refusal(error, data)
        assert not _is_canonical(data), f"{data!r} was refused"
        return
    assert _is_canonical(data), f"{data!r} was taken"
    assert signature == base64.b64decode(data)
    assert encode_sign(signature) == text


def _is_canonical(data: bytes) -> bool:
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error:
        return False
    return 0 < len(decoded) <= 1026 and len(data) <= 1368 and base64.b64encode(decoded) == data
