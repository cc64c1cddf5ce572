"""Why a signed request was refused: worked out over all certificates of the merchant, for the log and for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from alikassa.ledger import store
from alikassa.ledger.model import Certificate, CertificateState, Purpose
from alikassa.protocol.certificates import load_public_key_der
from alikassa.protocol.signatures import Digest, signed_digest

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.database import Database

__all__ = ["UNIFORM", "Cause", "Reason", "find_cause"]

#: What everybody is told who is refused at the signature, whatever the cause.
UNIFORM = {
    "sign": [
        "The request is not signed with an active payout certificate of this account. Sign the exact bytes of the"
        " body (RSASSA-PKCS1-v1_5, SHA-256) with the payout certificate, not the payment one, and check the uuid"
        " in Account."
    ]
}

# Newest certificates that are looked through; a merchant that replaces a key a month fills this in five years.
_MOST_LOOKED_AT = 64


class Reason(StrEnum):
    """The causes that the uniform answer does not tell apart."""

    UNKNOWN_ACCOUNT = "unknown_account"
    NO_CERTIFICATE = "no_certificate"
    PAYMENT_CERTIFICATE = "payment_certificate"
    REVOKED_CERTIFICATE = "revoked_certificate"
    SHA1_NOT_ALLOWED = "sha1_not_allowed"
    WRONG_LENGTH = "wrong_length"
    WRONG_SIGNATURE = "wrong_signature"


@dataclass(frozen=True)
class Cause:
    """A reason, the field it belongs to, the text for a person, and the certificate that did sign, if one did, with
    which digest."""

    reason: Reason
    field: str
    text: str
    certificate: uuid.UUID | None = None
    digest: Digest | None = None


async def find_cause(database: Database, account: uuid.UUID, signature: bytes, body: bytes) -> Cause:
    """The cause of a refusal, as the database is now."""
    async with database.read() as connection:
        found = await store.find_account(connection, account)
        if found is None:
            return Cause(
                Reason.UNKNOWN_ACCOUNT,
                "account",
                f"There is no account {account}. Copy the uuid from the cabinet, section «Счета» (Accounts).",
            )
        certificates = await store.find_certificates(connection, found.merchant, newest=_MOST_LOOKED_AT)
    for certificate in certificates:
        if (certificate.bits + 7) // 8 != len(signature):
            continue
        digest = signed_digest(load_public_key_der(certificate.public_key), signature, body)
        if digest is not None:
            return _signed_but_refused(certificate, digest)
    return _not_signed(certificates, len(signature))


def _signed_but_refused(certificate: Certificate, digest: Digest) -> Cause:
    if certificate.state is CertificateState.REVOKED:
        return Cause(
            Reason.REVOKED_CERTIFICATE,
            "sign",
            f"The certificate {certificate.id} that signed was revoked on {certificate.revoked_at:%Y-%m-%d %H:%M} UTC."
            " Sign with the active payout certificate.",
            certificate.id,
            digest,
        )
    if certificate.purpose is not Purpose.PAYOUT:
        return Cause(
            Reason.PAYMENT_CERTIFICATE,
            "sign",
            "The request is signed with the payment certificate. Sign it with the payout certificate"
            " (cert/payout in the archive).",
            certificate.id,
            digest,
        )
    if digest is Digest.SHA1:
        return Cause(
            Reason.SHA1_NOT_ALLOWED,
            "sign",
            "The signature uses SHA-1, which is switched off for this certificate. Sign with SHA-256"
            " (PHP: pass OPENSSL_ALGO_SHA256 to openssl_sign).",
            certificate.id,
            digest,
        )
    # Between the refusal and this look somebody made it valid.
    return Cause(Reason.WRONG_SIGNATURE, "sign", "The signature is valid by now. Ask again.", certificate.id, digest)


def _not_signed(certificates: list[Certificate], length: int) -> Cause:
    payout = [
        certificate
        for certificate in certificates
        if certificate.purpose is Purpose.PAYOUT and certificate.state is CertificateState.ACTIVE
    ]
    if not payout:
        return Cause(
            Reason.NO_CERTIFICATE,
            "sign",
            "The merchant has no active payout certificate. Register a public.pem for payouts in the cabinet,"
            " section «Ключи» (Keys).",
        )
    lengths = sorted({(certificate.bits + 7) // 8 for certificate in payout})
    if length not in lengths:
        return Cause(
            Reason.WRONG_LENGTH,
            "sign",
            f"The signature has {length} bytes, and the payout certificate makes"
            f" {' or '.join(map(str, lengths))}. Sign with the payout certificate's key and send the whole base64.",
        )
    return Cause(
        Reason.WRONG_SIGNATURE,
        "sign",
        "The signature does not match the body. Sign the exact bytes that are sent (RSASSA-PKCS1-v1_5, SHA-256) with"
        " the payout certificate's private key, and encode as base64 once. If another merchant's key signed: check the"
        " uuid in Account.",
    )
