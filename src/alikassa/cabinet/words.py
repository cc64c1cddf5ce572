"""What the books' own words are called on a page. Marked for the catalogue; shown through `_()`."""

from __future__ import annotations

from alikassa.cabinet.texts import mark
from alikassa.cabinet.users import Role
from alikassa.ledger.model import AccountState, Bucket, CertificateState, Kind, PayoutState, Purpose, SystemAccount
from alikassa.server.requests.kept import Outcome

__all__ = [
    *("ACCOUNT_STATES", "BUCKETS", "CERTIFICATE_STATES", "KINDS", "OUTCOMES", "PAYOUT_STATES", "PLACES", "PURPOSES"),
    "ROLES",
]

BUCKETS = {
    Bucket.BALANCE: mark("Balance"),
    Bucket.HOLD: mark("Hold"),
    Bucket.ROLLING_RESERVE: mark("Rolling reserve"),
    Bucket.PENDING_PAYOUTS: mark("Pending payouts"),
}
PLACES: dict[Bucket | SystemAccount, str] = {
    **{bucket: name for bucket, name in BUCKETS.items()},  # noqa: C416
    SystemAccount.CLEARING: mark("From customers (clearing)"),
    SystemAccount.FEES: mark("Fees"),
    SystemAccount.PAYOUTS: mark("To your bank (payouts)"),
    SystemAccount.ADJUSTMENTS: mark("Adjustments"),
    SystemAccount.OPENING: mark("Brought from other books"),
}
KINDS = {
    Kind.OPENING: mark("Opening"),
    Kind.PAYMENT: mark("Payment"),
    Kind.REFUND: mark("Refund"),
    Kind.CHARGEBACK: mark("Chargeback"),
    Kind.CHARGEBACK_REVERSAL: mark("Chargeback reversed"),
    Kind.RELEASE: mark("Release of what fell due"),
    Kind.HOLD_PLACED: mark("Hold placed by hand"),
    Kind.HOLD_RELEASED: mark("Hold released early"),
    Kind.RESERVE_RELEASED: mark("Rolling reserve released early"),
    Kind.PAYOUT_CREATED: mark("Payout made"),
    Kind.PAYOUT_PAID: mark("Payout paid"),
    Kind.PAYOUT_FAILED: mark("Payout failed"),
    Kind.PAYOUT_CANCELLED: mark("Payout cancelled"),
    Kind.PAYOUT_RETURNED: mark("Payout returned"),
    Kind.PAYOUT_CORRECTED: mark("Payout corrected"),
    Kind.FEE: mark("Fee"),
    Kind.ADJUSTMENT: mark("Adjustment"),
    Kind.REVERSAL: mark("Reversal"),
    Kind.POLICY_SET: mark("New terms"),
    Kind.ACCOUNT_FROZEN: mark("Account frozen"),
    Kind.ACCOUNT_UNFROZEN: mark("Account unfrozen"),
    Kind.ACCOUNT_CLOSED: mark("Account closed"),
    Kind.PERIOD_CLOSED: mark("Period closed"),
}
PAYOUT_STATES = {
    PayoutState.PENDING: mark("pending"),
    PayoutState.PAID: mark("paid"),
    PayoutState.FAILED: mark("failed"),
    PayoutState.CANCELLED: mark("cancelled"),
    PayoutState.RETURNED: mark("returned"),
}
ACCOUNT_STATES = {
    AccountState.OPEN: mark("open"),
    AccountState.FROZEN: mark("frozen: no new payouts"),
    AccountState.CLOSED: mark("closed"),
}
PURPOSES = {Purpose.PAYMENT: mark("payments"), Purpose.PAYOUT: mark("payouts and balance")}
CERTIFICATE_STATES = {CertificateState.ACTIVE: mark("active"), CertificateState.REVOKED: mark("revoked")}
OUTCOMES = {
    Outcome.OK: mark("answered"),
    Outcome.REFUSED: mark("refused"),
    Outcome.MALFORMED: mark("malformed"),
    Outcome.LIMITED: mark("too many"),
    Outcome.UNAVAILABLE: mark("unavailable"),
    Outcome.ERROR: mark("failed at our side"),
}
ROLES = {Role.OWNER: mark("owner"), Role.VIEWER: mark("viewer"), Role.OPERATOR: mark("operator")}
