"""What somebody hands in as a public key: on the command line, to the operator's API, in the cabinet."""

from __future__ import annotations

from datetime import UTC, datetime

from alikassa.cabinet.uploads import TEXTS, Problem, read_public
from alikassa.errors import CertificateError
from alikassa.protocol.certificates import LARGEST_BITS, SMALLEST_BITS, load_public_key, load_public_key_der
from fuzz.material import keys
from fuzz.oracle import see_refusal


def seeds() -> list[bytes]:
    found = list(keys().values())
    public = keys()["own-public"]
    return [
        *found,
        public.replace(b"\n", b"\r\n"),
        public.decode().encode("utf-16"),
        public + public,
        b"PK\x03\x04" + public,
        b"q8mVf0sTn2yWb7uJr5kXcAq8mVf0sTn2",
        b"",
    ]


def check(data: bytes) -> None:
    """The cabinet and the others agree: a key of accepted size whose DER leads back to it, or what it is instead."""
    at = datetime.now(UTC)
    found = read_public(data, at)
    if isinstance(found, Problem):
        what, _ = TEXTS[found.wrong]
        assert all(f"%({name})s" in what for name in found.values)
        assert what % found.values
    try:
        key = load_public_key(data, at=at)
    except CertificateError as error:
        see_refusal(error, data)
        # The cabinet reads what an editor on Windows saved, too.
        assert isinstance(found, Problem) or data[:2] in (b"\xff\xfe", b"\xfe\xff")
        return
    if not isinstance(found, Problem):
        assert found == key
    assert SMALLEST_BITS <= key.bits <= LARGEST_BITS
    assert load_public_key_der(key.der).public_numbers() == key.key.public_numbers()
