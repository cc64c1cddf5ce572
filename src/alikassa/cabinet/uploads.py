"""What somebody hands in as a public key: the key, or what is wrong with it, to be told in their language.

A private key does come by mistake. Nothing here puts what was handed in into a text, a log or an exception.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from alikassa.cabinet.texts import mark
from alikassa.errors import CertificateError
from alikassa.protocol.certificates import (
    EXPONENT,
    LARGEST_BITS,
    SMALLEST_BITS,
    UNREADABLE,
    PublicKey,
    load_certificate,
    load_public_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LARGEST_UPLOAD", "TEXTS", "Problem", "Wrong", "read_public"]

#: The largest file or text that is looked at, in bytes: four times the largest certificate's.
LARGEST_UPLOAD = 16 * 1024


class Wrong(StrEnum):
    """Why a key is not taken."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    PRIVATE = "private"
    ARCHIVE = "archive"
    PASSPHRASE = "passphrase"  # noqa: S105 - a name
    NOT_PEM = "not-pem"
    REQUEST = "request"
    SEVERAL = "several"
    UNREADABLE = "unreadable"
    NOT_RSA = "not-rsa"
    BITS = "bits"
    EXPONENT = "exponent"
    EXPIRED = "expired"
    NOT_YET = "not-yet"
    REGISTERED = "registered"
    OTHER_PURPOSE = "other-purpose"
    REVOKED = "revoked"
    FULL = "full"


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, and what its text is filled in with. `at` is a time that it is about."""

    wrong: Wrong
    values: dict[str, str | int] = {}
    at: datetime | None = None

    @property
    def has_travelled(self) -> bool:
        """Whether a secret was sent that should have stayed where it was."""
        return self.wrong in _TRAVELLED


_TRAVELLED = frozenset({Wrong.PRIVATE, Wrong.ARCHIVE, Wrong.PASSPHRASE})
_TAKE_ANOTHER = mark("Make another pair: alikassa keygen payout. Then choose its public.pem.")
#: For each: what is wrong, and what to do.
TEXTS: Mapping[Wrong, tuple[str, str]] = {
    Wrong.EMPTY: (
        mark("No key was given."),
        mark("Choose the file public.pem, or paste what it holds."),
    ),
    Wrong.TOO_LARGE: (
        mark("That is too large to be a public key."),
        mark("Choose public.pem: it has about ten lines."),
    ),
    Wrong.PRIVATE: (
        mark("That is a private key. It was not registered, not kept and not logged, but it has travelled."),
        mark(
            "Take it for known to others: do not use it any more. If its public half is registered, revoke it once its"
            " successor is in use. Make a new pair, and give away its public.pem alone."
        ),
    ),
    Wrong.ARCHIVE: (
        mark(
            "That is a packed archive, and there may be a private key in it. It was not opened, not kept and not"
            " logged, but it has travelled."
        ),
        mark(
            "If private.pem is in it, take that for known to others: make a new pair, and give away its public.pem"
            " alone. If its public half is registered, revoke it once its successor is in use."
        ),
    ),
    Wrong.PASSPHRASE: (
        mark("That looks like password.txt. It was not kept and not logged, but it has travelled."),
        mark("Take it for known to others: make a new pair, with a passphrase of its own. Then choose its public.pem."),
    ),
    Wrong.NOT_PEM: (
        mark("That is not a PEM file."),
        mark("Choose public.pem: a text that starts with -----BEGIN PUBLIC KEY-----."),
    ),
    Wrong.REQUEST: (
        mark("That is a request for a certificate (CSR), not a public key."),
        mark("Take the key out of it: openssl req -in FILE -noout -pubkey. Choose what that prints."),
    ),
    Wrong.SEVERAL: (
        mark("There is more than one key in it."),
        mark("Register one at a time: choose a file with a single BEGIN and END."),
    ),
    Wrong.UNREADABLE: (
        mark("The key cannot be read: something is missing, or was changed on the way."),
        mark("Choose the file itself, or paste all of it, from the BEGIN line to the END line."),
    ),
    Wrong.NOT_RSA: (mark("That is not an RSA key; the provider verifies RSA signatures only."), _TAKE_ANOTHER),
    Wrong.BITS: (
        mark("The RSA key has %(bits)s bits; %(least)s to %(most)s are accepted."),
        _TAKE_ANOTHER,
    ),
    Wrong.EXPONENT: (
        mark("The key has an unusual public exponent; only %(exponent)s is accepted."),
        _TAKE_ANOTHER,
    ),
    Wrong.EXPIRED: (
        mark("The X.509 certificate has expired:"),
        mark("Have it renewed, or register the public key alone. Better still, make a new pair."),
    ),
    Wrong.NOT_YET: (
        mark("The X.509 certificate is valid only from:"),
        mark("Come back then, or register the public key alone."),
    ),
    Wrong.REGISTERED: (
        mark("This key is registered already: it is the certificate that ends in %(ending)s."),
        mark("There is nothing to do. To replace it, make a new pair first."),
    ),
    Wrong.OTHER_PURPOSE: (
        mark("This key is registered already, for the other purpose, as the certificate that ends in %(ending)s."),
        mark("A key's purpose is for ever. Make a pair of its own for each purpose."),
    ),
    Wrong.REVOKED: (
        mark("This key was revoked earlier: it is the certificate that ended in %(ending)s."),
        mark("A revoked key does not come back. Make a new pair."),
    ),
    Wrong.FULL: (
        mark("There are %(most)s active certificates of this purpose, the most there may be."),
        mark("Revoke one that is no longer used, then add this one."),
    ),
}

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# zip, gzip, 7z, RAR
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")
_PUTTY, _JAVA_STORE = b"PuTTY-User-Key-File", b"\xfe\xed\xfe\xed"
# The version that every PKCS#12 file begins with, after the length of the whole.
_PKCS12 = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x03", re.DOTALL)
# As `alikassa keygen` makes it.
_GENERATED = re.compile(rb"[A-Za-z0-9_-]{32}")


def read_public(data: bytes, at: datetime) -> PublicKey | Problem:
    """The public key in `data`: PEM, or an X.509 certificate that is valid `at` that time."""
    if data[:2] in _UTF16:
        # As some editors on Windows save a text.
        data = data.decode("utf-16", errors="replace").encode()
    wrong = _at_first_sight(data)
    if wrong is not None:
        return Problem(wrong)
    try:
        return load_public_key(data, at=at)
    except CertificateError:
        return _diagnosis(data, at)


def _at_first_sight(data: bytes) -> Wrong | None:
    """What it is when it is no public key in PEM; secrets come first, whatever else is wrong."""
    whole = data.strip()
    found = (
        (Wrong.EMPTY, not whole),
        (Wrong.ARCHIVE, data.startswith(_PACKED)),
        (Wrong.PRIVATE, _is_private(data)),
        (Wrong.PASSPHRASE, _GENERATED.fullmatch(whole) is not None),
        (Wrong.TOO_LARGE, len(data) > LARGEST_UPLOAD),
        (Wrong.NOT_PEM, b"-----BEGIN" not in data),
        (Wrong.REQUEST, b"CERTIFICATE REQUEST-----" in data),
        (Wrong.SEVERAL, data.count(b"-----BEGIN") > 1),
    )
    return next((wrong for wrong, holds in found if holds), None)


def _is_private(data: bytes) -> bool:
    if b"PRIVATE KEY" in data or _PUTTY in data or data.startswith(_JAVA_STORE):
        return True
    der = data
    if not data.startswith(b"\x30"):
        try:
            # The lines between BEGIN and END alone.
            der = binascii.a2b_base64(b"".join(data.split()), strict_mode=True)
        except binascii.Error:
            return False
    if _PKCS12.match(der):
        return True
    try:
        serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except (TypeError, InternalError):
        # It wants a passphrase; it is one of the wrong length.
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _diagnosis(data: bytes, at: datetime) -> Problem:
    """Why `load_public_key` refused it."""
    try:
        if b"BEGIN CERTIFICATE-----" in data:
            certificate = load_certificate(data)
            if at > certificate.not_valid_after_utc:
                return Problem(Wrong.EXPIRED, at=certificate.not_valid_after_utc)
            if at < certificate.not_valid_before_utc:
                return Problem(Wrong.NOT_YET, at=certificate.not_valid_before_utc)
            key: object = certificate.public_key()
        else:
            key = serialization.load_pem_public_key(data)
    except UNREADABLE:
        return Problem(Wrong.UNREADABLE)
    if not isinstance(key, RSAPublicKey):
        return Problem(Wrong.NOT_RSA)
    if not SMALLEST_BITS <= key.key_size <= LARGEST_BITS:
        return Problem(Wrong.BITS, {"bits": key.key_size, "least": SMALLEST_BITS, "most": LARGEST_BITS})
    return Problem(Wrong.EXPONENT, {"exponent": EXPONENT})
