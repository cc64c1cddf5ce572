"""The shapes of the books. Amounts are integers of 10^-8 (see `alikassa.money`), times are aware and UTC."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

__all__ = [
    "BUCKETS",
    "HELD",
    "Account",
    "AccountState",
    "Booked",
    "Bucket",
    "Certificate",
    "CertificateState",
    "Discrepancy",
    "JournalEntry",
    "Kind",
    "Lot",
    "LotKey",
    "Merchant",
    "Payout",
    "PayoutState",
    "Posting",
    "Purpose",
    "SystemAccount",
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
#: The buckets that consist of single sums, each with a name of its own: lots, and payouts under way.
HELD = (Bucket.HOLD, Bucket.ROLLING_RESERVE, Bucket.PENDING_PAYOUTS)


class SystemAccount(StrEnum):
    """The other side of a posting. System accounts keep no materialised balance: no row that all must update."""

    CLEARING = "system:clearing"  # money from customers, on its way to us
    FEES = "system:fees"  # what we earned
    PAYOUTS = "system:payouts"  # money that left for merchants' banks
    ADJUSTMENTS = "system:adjustments"  # corrections by hand
    OPENING = "system:opening"  # what an account brought from other books


class Kind(StrEnum):
    """Kinds of journal entries. All but `release` answer a command; the last ones move no money."""

    OPENING = "opening"
    PAYMENT = "payment"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    RELEASE = "release"  # lots that fell due
    HOLD_PLACED = "hold_placed"
    HOLD_RELEASED = "hold_released"
    RESERVE_RELEASED = "reserve_released"
    PAYOUT_CREATED = "payout_created"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_CANCELLED = "payout_cancelled"
    PAYOUT_RETURNED = "payout_returned"
    PAYOUT_CORRECTED = "payout_corrected"
    FEE = "fee"
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"
    POLICY_SET = "policy_set"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_UNFROZEN = "account_unfrozen"
    ACCOUNT_CLOSED = "account_closed"
    PERIOD_CLOSED = "period_closed"


class AccountState(StrEnum):
    """Frozen: no new payouts, no early releases. Closed: only what the outside world sends all the same."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class PayoutState(StrEnum):
    """A payout waits for the bank until it is paid, failed or cancelled; what was paid may be returned."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"


class Merchant(msgspec.Struct, frozen=True):
    id: uuid.UUID
    name: str
    created_at: datetime


class Certificate(msgspec.Struct, frozen=True):
    """A merchant's public key and what it may be used for."""

    id: uuid.UUID
    merchant: uuid.UUID
    purpose: Purpose
    state: CertificateState
    sha1_allowed: bool
    fingerprint: str
    bits: int
    public_key: bytes
    created_at: datetime
    revoked_at: datetime | None


class Account(msgspec.Struct, frozen=True):
    """An account as it stands after its entry number `sequence` (0: none yet, then `recorded_at` is None).

    `policy` is the version that new payments come under (0: none, nothing is withheld). No lot is due before
    `next_due_at` (None: none is due ever). Nothing is booked with effect before `closed_until`. `head` is the hash
    of the last entry (of the account itself, before the first). With `requires_fresh` a signed request is good once.
    """

    id: uuid.UUID
    merchant: uuid.UUID
    currency: str
    buckets: dict[Bucket, int]
    sequence: int
    recorded_at: datetime | None
    opened_at: datetime
    head: bytes
    state: AccountState = AccountState.OPEN
    policy: int = 0
    next_due_at: datetime | None = None
    closed_until: datetime | None = None
    requires_fresh: bool = False


class LotKey(NamedTuple):
    """A held sum's name within its account: the posting that made it. Written `17.2`: entry 17, posting 2."""

    sequence: int
    line: int

    def __str__(self) -> str:
        return f"{self.sequence}.{self.line}"


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One signed amount of an entry, into a bucket or a system account.

    In a bucket of `HELD` it names the lot or payout that it makes or moves.
    """

    bucket: Bucket | SystemAccount
    amount: int
    lot: LotKey | None = None


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One event of one account. Immutable; its postings sum to zero.

    `subject` is the number of the entry that it is about: a refund's payment, a callback's payout. `detail` is the
    policy's version in a payment, the payout's new state in a correction, else "". `content` is the hash of what the
    caller said; `hash` covers this entry and, through the one before it, all earlier ones.
    """

    id: uuid.UUID
    account: uuid.UUID
    sequence: int
    kind: Kind
    reference: str
    reason: str
    metadata: str
    content: bytes
    subject: int | None
    detail: str
    effective_at: datetime
    recorded_at: datetime
    postings: tuple[Posting, ...]
    hash: bytes = b""


class Lot(msgspec.Struct, frozen=True, gc=False):
    """One held sum in `hold` or `rolling_reserve`.

    `source` is the reference of what it was held from, `policy` the version of the policy that says so (0: held by
    hand). It is released at `due_at` (None: only by hand). `remaining` follows from the postings that name it.
    """

    key: LotKey
    bucket: Bucket
    source: str
    policy: int
    due_at: datetime | None
    amount: int
    remaining: int


class Payout(msgspec.Struct, frozen=True, gc=False):
    """One payout. `amount` without the fee; `state_sequence` is the entry that brought it into its state."""

    key: LotKey
    reference: str
    amount: int
    fee: int
    by_hand: bool
    created_at: datetime
    state: PayoutState
    state_sequence: int
    state_at: datetime


class Discrepancy(msgspec.Struct, frozen=True, gc=False):
    """A callback that contradicted a payout's final state: it moved nothing, and waits for `payout correct`.

    `times` it was heard, last at `last_at`. `closed_sequence` is the entry that settled it, None while it is open.
    """

    account: uuid.UUID
    payout: str
    state: PayoutState
    claimed: PayoutState
    opened_at: datetime
    last_at: datetime
    times: int
    closed_sequence: int | None = None


class Booked(msgspec.Struct, frozen=True):
    """A committed entry, and the account as a balance request is told it now: what is due is in its balance.

    `repeated`: the entry had been booked before, by the same command; others may have followed it.
    """

    entry: JournalEntry
    account: Account
    repeated: bool
