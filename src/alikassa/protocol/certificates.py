"""Keys: reading a private key, its public half, and what is accepted as a merchant's certificate.

The provider calls a key pair a certificate; it keeps the public half only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from alikassa.clock import now
from alikassa.errors import CertificateError
from alikassa.protocol.signatures import KeySigner, signed_digest

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

__all__ = [
    "LARGEST_BITS",
    "SMALLEST_BITS",
    "UNREADABLE",
    "PublicKey",
    "generate_private_key",
    "load_certificate",
    "load_private_key",
    "load_public_key",
    "load_public_key_der",
    "public_pem",
]

SMALLEST_BITS = 2048
LARGEST_BITS = 8192
EXPONENT = 65537
#: What the library makes of a file that holds no key, or half of one. InternalError: of an Ed25519 key, or one of its
#: kin, that has the wrong length.
UNREADABLE = (ValueError, UnsupportedAlgorithm, InternalError)


@dataclass(frozen=True)
class PublicKey:
    """The public half of a certificate. `fingerprint` is the SHA-256 of `der` (SubjectPublicKeyInfo), in hex."""

    der: bytes = field(repr=False)
    fingerprint: str
    bits: int
    key: rsa.RSAPublicKey = field(repr=False, compare=False)


def load_private_key(pem: bytes, passphrase: bytes | None) -> rsa.RSAPrivateKey:
    """The private key in `pem`, traditional (BEGIN RSA PRIVATE KEY) or PKCS#8 (BEGIN ENCRYPTED PRIVATE KEY).

    The passphrase is tried as it stands and then without the newline at its end, which editors add. Raises
    CertificateError; neither the key nor the passphrase is in its text, nor in a variable of its traceback.
    """
    try:
        return _open_private_key(pem, passphrase)
    except CertificateError as error:
        problem = error
    del pem, passphrase
    raise problem.with_traceback(None) from None


def _open_private_key(pem: bytes, passphrase: bytes | None) -> rsa.RSAPrivateKey:
    if b"-----BEGIN" not in pem:
        raise CertificateError("The private key is not a PEM file.", remedy="It starts with -----BEGIN.")
    if b"PUBLIC KEY-----" in pem or b"BEGIN CERTIFICATE-----" in pem:
        raise CertificateError("This is a public key, not a private one.", remedy="Name private.pem instead.")
    encrypted = b"ENCRYPTED" in pem
    if encrypted and passphrase is None:
        raise CertificateError(
            "The private key is protected by a passphrase, and there is none.",
            remedy="Put password.txt beside private.pem.",
        )
    candidates: list[bytes | None] = [passphrase] if encrypted else [None]
    if encrypted and passphrase is not None and passphrase.rstrip(b"\r\n") != passphrase:
        candidates.append(passphrase.rstrip(b"\r\n"))
    for candidate in candidates:
        try:
            # Its own check of the numbers takes 40 ms; `_check_private` finds a damaged key in 1 ms.
            key = serialization.load_pem_private_key(pem, candidate, unsafe_skip_rsa_key_validation=True)
        except (*UNREADABLE, TypeError):
            continue
        return _check_private(key)
    if encrypted:
        raise CertificateError(
            "The passphrase does not open the private key.",
            remedy="Take password.txt and private.pem from the same archive, and look for stray spaces.",
        )
    raise CertificateError(
        "The private key cannot be read: the file is damaged or of an unknown format.",
        remedy="Download the archive again, or look at it with: openssl pkey -in private.pem -noout -text",
    )


def _check_private(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateError("The private key is not an RSA key.", remedy="The provider signs with RSA only.")
    public = _check_public(key.public_key())
    probe = b"alikassa"
    try:
        holds = signed_digest(public.key, KeySigner(key).sign(probe), probe) is not None
    except ValueError:
        holds = False
    if not holds:
        raise CertificateError("The private key is damaged: its numbers do not belong together.")
    return key


def load_public_key(pem: bytes, *, at: datetime | None = None) -> PublicKey:
    """The public key in `pem`: SubjectPublicKeyInfo, PKCS#1 or an X.509 certificate valid `at` (now)."""
    if b"PRIVATE KEY-----" in pem:
        raise CertificateError(
            "This is a private key. Only the public half is ever registered.",
            remedy="Name public.pem instead, and keep private.pem to yourself.",
        )
    try:
        if b"BEGIN CERTIFICATE-----" in pem:
            certificate = load_certificate(pem)
            _check_validity(certificate, at or now())
            key: object = certificate.public_key()
        else:
            key = serialization.load_pem_public_key(pem)
    except UNREADABLE as error:
        raise CertificateError(
            "The public key cannot be read.",
            remedy="It is a PEM file that starts with -----BEGIN PUBLIC KEY-----.",
        ) from error
    return _check_public(key)


def load_certificate(pem: bytes) -> x509.Certificate:
    """The X.509 certificate in `pem`, whoever issued it and whenever it is valid. Raises what `UNREADABLE` lists."""
    # Seldom asked for, and a third of what this module takes to load.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def load_public_key_der(der: bytes) -> rsa.RSAPublicKey:
    """The key that `PublicKey.der` holds."""
    key = serialization.load_der_public_key(der)
    assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - only checked keys are stored
    return key


def _check_validity(certificate: x509.Certificate, at: datetime) -> None:
    if at > certificate.not_valid_after_utc:
        raise CertificateError(f"The X.509 certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    if at < certificate.not_valid_before_utc:
        raise CertificateError(
            f"The X.509 certificate is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC.",
            remedy="Check the clock of this machine.",
        )


def _check_public(key: object) -> PublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise CertificateError("The key is not an RSA key.", remedy="Make one with: alikassa keygen DIR")
    if not SMALLEST_BITS <= key.key_size <= LARGEST_BITS:
        raise CertificateError(
            f"The RSA key has {key.key_size} bits; {SMALLEST_BITS} to {LARGEST_BITS} are accepted.",
            remedy="Make one with: alikassa keygen DIR",
        )
    exponent = key.public_numbers().e
    if exponent != EXPONENT:
        # It may have as many digits as the key.
        shown = str(exponent) if exponent < 2**64 else f"of {exponent.bit_length()} bits"
        raise CertificateError(
            f"The RSA key has the public exponent {shown}; only {EXPONENT} is accepted.",
            remedy="Make one with: alikassa keygen DIR",
        )
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(der=der, fingerprint=hashlib.sha256(der).hexdigest(), bits=key.key_size, key=key)


def generate_private_key(bits: int = SMALLEST_BITS) -> rsa.RSAPrivateKey:
    """A new RSA key. Raises CertificateError for a size that would not be accepted."""
    if not SMALLEST_BITS <= bits <= LARGEST_BITS:
        raise CertificateError(f"{bits} bits are not accepted; choose {SMALLEST_BITS} to {LARGEST_BITS}.")
    return rsa.generate_private_key(EXPONENT, bits)


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half as PEM (BEGIN PUBLIC KEY)."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
