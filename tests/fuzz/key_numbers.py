"""A private RSA key of numbers that do not belong together."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from alikassa.errors import CertificateError
from alikassa.protocol.certificates import load_private_key
from alikassa.protocol.signatures import Digest, KeySigner, signed_digest
from fuzz.material import keys
from fuzz.oracle import see_refusal

_NAMES = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")


def seeds() -> list[bytes]:
    return [
        *(bytes([place, 0, *b"\x00\x01\xff\x80"]) for place in range(8)),
        *(bytes([place, 1, *b"\x02"]) for place in range(8)),
        *(bytes([place, 2, place + 1]) for place in range(8)),
        bytes([0, 1, 0, 3, 2, 4, 7, 0, 5]),
        b"",
    ]


def check(data: bytes) -> None:
    """Either its signatures hold, or it is refused, whatever the numbers are.

    Each change is a number's place, how it changes, and by what.
    """
    numbers = list(_numbers())
    for start in range(0, min(len(data), 96) - 2, 3):
        place, how, by = data[start] % 8, data[start + 1] % 6, data[start + 2]
        value = numbers[place]
        numbers[place] = (
            by,
            value + by,
            numbers[by % 8],
            value ^ (1 << (by * 8)),
            -value,
            value << (by % 3 * 1024),
        )[how]
    pem = _pem([0, *numbers])
    try:
        key = load_private_key(pem, None)
    except CertificateError as error:
        see_refusal(error, pem)
        return
    assert signed_digest(key.public_key(), KeySigner(key).sign(b"{}"), b"{}") is Digest.SHA256


def _numbers() -> tuple[int, ...]:
    if "found" not in _KEPT:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        key = load_pem_private_key(keys()["plain-traditional"], None)
        assert isinstance(key, RSAPrivateKey)
        private = key.private_numbers()
        public = private.public_numbers
        _KEPT["found"] = (
            *(public.n, public.e, private.d, private.p, private.q),
            *(private.dmp1, private.dmq1, private.iqmp),
        )
    return _KEPT["found"]


_KEPT: dict[str, tuple[int, ...]] = {}


def _pem(numbers: list[int]) -> bytes:
    """PKCS#1, written by hand: no library writes such keys."""
    inner = b"".join(
        _tagged(2, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)) for number in numbers
    )
    text = base64.encodebytes(_tagged(0x30, inner))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + text + b"-----END RSA PRIVATE KEY-----\n"


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(size)]) + size + content
