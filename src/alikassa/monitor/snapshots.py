"""What one look at one account found."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from typing import TYPE_CHECKING

from alikassa.errors import (
    AlikassaError,
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerError,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Bucket", "Failure", "FailureKind", "Figures", "Snapshot", "amount_text", "difference", "failure_of"]

# An amount has up to 36 digits: the usual context would round what is subtracted.
_EXACT = Context(prec=80)


class Bucket(StrEnum):
    """The four numbers of an account."""

    BALANCE = "balance"
    HOLD = "hold"
    ROLLING_RESERVE = "rolling_reserve"
    PENDING_PAYOUTS = "pending_payouts"


class FailureKind(StrEnum):
    """Why there is no answer."""

    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    DEADLINE = "deadline"
    NETWORK = "network"
    PROTOCOL = "protocol"
    KEY = "key"
    OTHER = "other"


@dataclass(frozen=True)
class Figures:
    """An answer: amounts exactly as told, None for one that the server left out. `raw` is its body."""

    currency: str
    balance: Decimal
    hold: Decimal
    rolling_reserve: Decimal
    pending_payouts: Decimal | None
    raw: bytes = field(repr=False)

    def of(self, bucket: Bucket) -> Decimal | None:
        found: Decimal | None = getattr(self, bucket)
        return found


@dataclass(frozen=True)
class Failure:
    """No answer, and why: the error's own text."""

    kind: FailureKind
    text: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """One look: `at` is when its outcome was known, `seconds` how long it took. Exactly one of the two is there."""

    profile: str
    account: str
    at: datetime
    seconds: float
    figures: Figures | None = None
    failure: Failure | None = None


# The first that fits counts.
_KINDS: tuple[tuple[type[AlikassaError], FailureKind], ...] = (
    (RefusedError, FailureKind.REFUSED),
    (RateLimitedError, FailureKind.RATE_LIMITED),
    (ServerError, FailureKind.SERVER),
    (DeadlineExceededError, FailureKind.DEADLINE),
    (NetworkError, FailureKind.NETWORK),
    (ProtocolError, FailureKind.PROTOCOL),
    (CertificateError, FailureKind.KEY),
    (ConfigurationError, FailureKind.KEY),
)
_LONGEST_TEXT = 500


def failure_of(error: AlikassaError) -> Failure:
    """The error as it is kept and shown: one line, cut to a readable length."""
    kind = next((kind for type_, kind in _KINDS if isinstance(error, type_)), FailureKind.OTHER)
    text = "".join(character if character.isprintable() else " " for character in str(error))[:_LONGEST_TEXT]
    return Failure(kind, text, getattr(error, "retry_after", None))


def amount_text(amount: Decimal | None) -> str | None:
    """The amount's plain digits, all its decimals."""
    return None if amount is None else format(amount, "f")


def difference(one: Decimal, other: Decimal) -> Decimal:
    """`one - other`, to the last digit."""
    with localcontext(_EXACT):
        return one - other
