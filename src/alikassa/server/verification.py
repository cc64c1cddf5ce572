"""Is this request signed with an active payout certificate of the account's merchant?

A refusal always costs the same number of RSA operations, whatever the account has: otherwise its time would tell
a stranger which accounts exist and what certificates they have.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from alikassa.ledger.registry import MOST_ACTIVE
from alikassa.protocol.certificates import EXPONENT, LARGEST_BITS, SMALLEST_BITS, load_public_key_der
from alikassa.protocol.signatures import Digest, signed_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.ledger.reader import ActiveCertificate

__all__ = ["Verified", "Verifier"]

_MOST_KNOWN = 16_384
_MOST_KEYS = 65_536
# Only bodies up to this size are remembered, in bytes.
_LONGEST_KNOWN_BODY = 64


class _Key(NamedTuple):
    key: RSAPublicKey
    modulus: int
    length: int  # of a signature, in bytes


class Verified(NamedTuple):
    """Which certificate signed, and with which digest."""

    certificate: str
    digest: Digest

    def holds(self, certificates: Sequence[ActiveCertificate]) -> bool:
        """Whether that certificate is among these, active as just read, and may sign with that digest."""
        for certificate in certificates:
            if certificate.id == self.certificate:
                return self.digest is Digest.SHA256 or certificate.sha1_allowed
        return False


class Verifier:
    """Verifies, and remembers what it verified: the same body under the same key has the same signature.

    `operations` counts the RSA operations made so far, `verifications` the signatures they were made for.
    """

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        # Two generations: what is looked up in the older moves on, and the rest is dropped with it.
        self._known: dict[tuple[str, bytes], Verified] = {}
        self._known_before: dict[tuple[str, bytes], Verified] = {}
        self.operations = 0
        self.verifications = 0

    @property
    def known(self) -> int:
        """How many signatures are remembered."""
        return len(self._known) + len(self._known_before)

    def look_up(self, sign: str, body: bytes) -> Verified | None:
        """What this very `Sign` over this very body was verified as before, if it was."""
        key = (sign, body)
        known = self._known.get(key)
        if known is None and key in self._known_before:
            known = self._known[key] = self._known_before[key]
        return known

    def remember(self, verified: Verified, sign: str, body: bytes) -> None:
        """Keep a verified signature over a valid body. What has not been looked up for long makes room."""
        if len(body) > _LONGEST_KNOWN_BODY:
            return
        if len(self._known) >= _MOST_KNOWN // 2:
            self._known_before, self._known = self._known, {}
        self._known[sign, body] = verified

    def verify(self, certificates: Sequence[ActiveCertificate], signature: bytes, body: bytes) -> Verified | None:
        """The certificate and digest that signed, or None after exactly `MOST_ACTIVE` RSA operations.

        A signature of a length that no accepted key makes is refused without any.
        """
        if not SMALLEST_BITS <= len(signature) * 8 <= LARGEST_BITS:
            return None
        self.verifications += 1
        number = int.from_bytes(signature)
        for place in range(MOST_ACTIVE):
            certificate = certificates[place] if place < len(certificates) else None
            key = None if certificate is None else self._key(certificate)
            # A number past the modulus is turned down before any arithmetic, which would show in the time.
            if certificate is None or key is None or key.length != len(signature) or number >= key.modulus:
                self._work_in_vain(len(signature), body)
                continue
            self.operations += 1
            digest = signed_digest(key.key, signature, body)
            if digest is Digest.SHA256 or (digest is Digest.SHA1 and certificate.sha1_allowed):
                return Verified(certificate.id, digest)
        return None

    def _work_in_vain(self, length: int, body: bytes) -> None:
        """What a verification costs, with a key and a signature of that length that are nobody's."""
        self.operations += 1
        signed_digest(_nobodys_key(length), b"\x7f" * length, body)

    def _key(self, certificate: ActiveCertificate) -> _Key:
        key = self._keys.get(certificate.id)
        if key is None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            public = load_public_key_der(certificate.public_key)
            key = _Key(public, public.public_numbers().n, (public.key_size + 7) // 8)
            self._keys[certificate.id] = key
        return key


@lru_cache(maxsize=1024)
def _nobodys_key(length: int) -> RSAPublicKey:
    """A modulus of so many bytes that nobody has the factors of; nothing verifies under it, at the usual cost."""
    top = 0x80 << 8 * (length - 1)
    return RSAPublicNumbers(EXPONENT, secrets.randbits(8 * length) | top | 1).public_key()
