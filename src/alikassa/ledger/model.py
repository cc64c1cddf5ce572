"""The shapes of the books. Amounts are integers of 10^-8 (see `alikassa.money`), times are aware and UTC."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from datetime import datetime

__all__ = [
    "BUCKETS",
    "Account",
    "Adjustment",
    "Bucket",
    "Certificate",
    "CertificateState",
    "JournalEntry",
    "Kind",
    "Merchant",
    "Posting",
    "Purpose",
    "SystemAccount",
    "content_hash",
]


class Purpose(StrEnum):
    """What a merchant signs with a certificate. The balance request takes the payout certificate."""

    PAYMENT = "payment"
    PAYOUT = "payout"


class CertificateState(StrEnum):
    """Revoked is final."""

    ACTIVE = "active"
    REVOKED = "revoked"


class Bucket(StrEnum):
    """The four disjoint parts of a merchant's account, as they are called on the wire."""

    BALANCE = "balance"
    HOLD = "hold"
    ROLLING_RESERVE = "rolling_reserve"
    PENDING_PAYOUTS = "pending_payouts"


BUCKETS = tuple(Bucket)


class SystemAccount(StrEnum):
    """The other side of a posting. System accounts keep no materialised balance: no row that all must update."""

    ADJUSTMENTS = "system:adjustments"


class Kind(StrEnum):
    """Kinds of journal entries."""

    ADJUSTMENT = "adjustment"


@dataclass(frozen=True)
class Merchant:
    id: uuid.UUID
    name: str
    created_at: datetime


@dataclass(frozen=True)
class Certificate:
    """A merchant's public key and what it may be used for."""

    id: uuid.UUID
    merchant: uuid.UUID
    purpose: Purpose
    state: CertificateState
    sha1_allowed: bool
    fingerprint: str
    bits: int
    public_key: bytes = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class Account:
    """An account as it stands after its entry number `sequence` (0: none yet, then `recorded_at` is None)."""

    id: uuid.UUID
    merchant: uuid.UUID
    currency: str
    buckets: dict[Bucket, int]
    sequence: int
    recorded_at: datetime | None
    opened_at: datetime


@dataclass(frozen=True)
class Posting:
    """One signed amount of an entry, into a bucket or a system account."""

    bucket: Bucket | SystemAccount
    amount: int


@dataclass(frozen=True)
class JournalEntry:
    """One economic event of one account. Immutable; its postings sum to zero."""

    id: uuid.UUID
    account: uuid.UUID
    sequence: int
    kind: Kind
    reference: str
    reason: str
    content: bytes
    effective_at: datetime
    recorded_at: datetime
    postings: tuple[Posting, ...]


@dataclass(frozen=True)
class Adjustment:
    """The command to correct one bucket by hand, against the system account for adjustments."""

    account: uuid.UUID
    bucket: Bucket
    amount: int
    reference: str
    reason: str

    kind = Kind.ADJUSTMENT

    @property
    def content(self) -> bytes:
        """What the caller said, hashed: the same reference with other content is a conflict."""
        return content_hash((self.bucket, str(self.amount), self.reason))


def content_hash(fields: Iterable[str]) -> bytes:
    """SHA-256 over the fields, each with its length before it, so that none can pose as two."""
    digest = hashlib.sha256()
    for text in fields:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()
