"""The public half of whatever signs, to compare it with what is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives import serialization

from alikassa.protocol.certificates import load_public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.protocol.certificates import PublicKey
    from alikassa.protocol.signatures import Signer

__all__ = ["PublicSigner", "public_key_of"]


class PublicSigner(Protocol):
    """A signer that knows its public key. All signers of `alikassa.keys` do."""

    def sign(self, data: bytes, /) -> bytes: ...
    def public_key(self) -> RSAPublicKey:
        """Raises as the signer's `sign` does: the token or the key service may have to be asked."""
        ...


def public_key_of(signer: Signer | PublicSigner) -> PublicKey | None:
    """The signer's public key with its fingerprint; None for a signer that does not say.

    Raises CertificateError for a key that no server would take (its size, its exponent), and whatever the signer
    raises when it has to ask for the key.
    """
    told = getattr(signer, "public_key", None)
    if not callable(told):
        return None
    key: RSAPublicKey = told()
    return load_public_key(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
