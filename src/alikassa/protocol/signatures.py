"""The `Sign` header: base64 of RSASSA-PKCS1-v1_5 over the exact bytes of the body.

`Sign` is a bearer credential for as long as the key lives (the body is constant, and neither the URL nor the
account is signed), so nothing here puts one into a text or a repr.
"""

from __future__ import annotations

import binascii
import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from alikassa.errors import InvalidInputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["Digest", "KeySigner", "Signer", "decode_sign", "digest_info", "encode_sign", "signed_digest"]


class Digest(StrEnum):
    """The digest under the signature. The page's PHP program uses SHA-1, its others SHA-256."""

    SHA256 = "sha256"
    SHA1 = "sha1"


class Signer(Protocol):
    """Whatever can sign for a merchant: a key in memory, in a token, in a key service."""

    def sign(self, data: bytes, /) -> bytes:
        """The raw RSASSA-PKCS1-v1_5 signature over `data`, digest included."""
        ...


class KeySigner:
    """A signer whose private key is in memory."""

    def __init__(self, key: RSAPrivateKey, digest: Digest = Digest.SHA256) -> None:
        self._key = key
        self.digest = digest

    def sign(self, data: bytes, /) -> bytes:
        return self._key.sign(data, _PADDING, _HASHES[self.digest])

    def with_digest(self, digest: Digest, /) -> KeySigner:
        """The same key, signing with this digest."""
        return KeySigner(self._key, digest)

    def public_key(self) -> RSAPublicKey:
        return self._key.public_key()

    def __repr__(self) -> str:
        return f"<KeySigner RSA-{self._key.key_size} {self.digest}>"


def encode_sign(signature: bytes) -> str:
    """The header's value for a raw signature: standard base64 with padding, no line breaks."""
    return binascii.b2a_base64(signature, newline=False).decode("ascii")


def decode_sign(text: str) -> bytes:
    """The raw signature in a header's value.

    Raises InvalidInputError, whose text says what is wrong without repeating the value, for anything but
    standard base64 with its padding: whitespace, the URL-safe alphabet, line breaks.
    """
    if len(text) > _LONGEST_SIGN:
        raise InvalidInputError("is longer than any signature; send the base64 of one RSA signature")
    if any(character.isspace() for character in text):
        raise InvalidInputError("contains whitespace; send the base64 on one line, without spaces")
    if "-" in text or "_" in text:
        raise InvalidInputError("is in the URL-safe alphabet; send standard base64, with + and /")
    try:
        signature = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        signature = b""
    # Only the canonical spelling: a second one of the same signature would be another credential to guard.
    if not signature or encode_sign(signature) != text:
        raise InvalidInputError("is not base64; send the standard base64 of the signature, padding included")
    return signature


def signed_digest(key: RSAPublicKey, signature: bytes, body: bytes) -> Digest | None:
    """Which digest of `body` this signature signs under this key, or None when it does not sign it.

    One RSA operation tells for every digest. What it recovers is compared whole with the one encoding that is
    allowed (RFC 8017, 9.2), so nothing that a lenient parser would take gets through.
    """
    try:
        recovered = key.recover_data_from_signature(signature, _PADDING, None)
    except InvalidSignature:
        return None
    for digest in _DIGEST_INFO:
        if recovered == digest_info(digest, body):
            return digest
    return None


def digest_info(digest: Digest, data: bytes) -> bytes:
    """What a signature over `data` pads and encrypts: the digest, with its name before it (RFC 8017, 9.2)."""
    return _DIGEST_INFO[digest] + hashlib.new(digest, data, usedforsecurity=False).digest()


_PADDING = padding.PKCS1v15()
_HASHES: dict[Digest, hashes.HashAlgorithm] = {
    Digest.SHA256: hashes.SHA256(),
    Digest.SHA1: hashes.SHA1(),  # noqa: S303 - the wire contract's, see the module's text
}
# DER of DigestInfo up to the digest itself, RFC 8017, 9.2, note 1.
_DIGEST_INFO = {
    Digest.SHA256: bytes.fromhex("3031300d060960864801650304020105000420"),
    Digest.SHA1: bytes.fromhex("3021300906052b0e03021a05000414"),
}
# Base64 of 1,024 bytes, the signature of the largest key that is taken (8,192 bits).
_LONGEST_SIGN = 1368
