"""One family of errors with one root.

Every error says what happened (its text) and what to do (`remedy`), and whether the same call may succeed
when it is simply repeated (`retryable`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AccountStateError",
    "AlikassaError",
    "AmountError",
    "BoundExceededError",
    "CertificateError",
    "ConfigurationError",
    "ConflictError",
    "DatabaseConflictError",
    "DatabaseError",
    "DatabaseMissingError",
    "DatabaseUnavailableError",
    "DatabaseVersionError",
    "DeadlineExceededError",
    "EffectiveTimeError",
    "ExceedsPaymentError",
    "InsufficientFundsError",
    "InvalidInputError",
    "InvariantError",
    "NetworkError",
    "NotFoundError",
    "OverloadedError",
    "PayoutStateError",
    "ProtocolError",
    "RateLimitedError",
    "RefusedError",
    "ServerError",
]


class AlikassaError(Exception):
    """The root. `str()` is what happened; `remedy` is what to do about it ("" when the text says it all).

    An error of a client's call has its `request_id`, which was sent as X-Request-Id, and the `server_request_id` that
    came back, "" when none did.
    """

    retryable = False
    request_id = ""
    server_request_id = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # As it stands, not by calling the constructor anew: those of some errors take other arguments.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[AlikassaError], args: tuple[object, ...], state: dict[str, object]) -> AlikassaError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# Before anything is sent


class ConfigurationError(AlikassaError):
    """A setting is missing, malformed or contradicts another."""


class CertificateError(AlikassaError):
    """A private key, passphrase or public key cannot be read or used."""


class InvalidInputError(AlikassaError):
    """A value from outside is malformed (a uuid, a currency, a reference)."""


class AmountError(InvalidInputError):
    """Text that is no amount: not plain digits, more than eight decimals, or 10^18 and more."""


# What a client meets


class NetworkError(AlikassaError):
    """No complete answer arrived: connection, TLS, proxy or time."""

    retryable = True


class DeadlineExceededError(NetworkError):
    """The whole call took longer than its `timeout`."""

    retryable = False


class RefusedError(AlikassaError):
    """The server refused the request (400). `errors` maps each field to what is wrong with it."""

    def __init__(self, message: str, *, errors: Mapping[str, Sequence[str]], status: int = 400) -> None:
        self.errors: dict[str, tuple[str, ...]] = {field: tuple(texts) for field, texts in errors.items()}
        self.status = status
        details = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in self.errors.items())
        super().__init__(f"{message} ({details})" if details else message)
        self.message = message


class ServerError(AlikassaError):
    """The server failed, or answered with a status that means nothing to a balance request.

    `retry_after` is how many seconds the server asks to wait, None when it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retryable: bool = True,
        retry_after: float | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class RateLimitedError(ServerError):
    """The server asks to come back later (429)."""


class ProtocolError(AlikassaError):
    """The answer arrived whole but is not what the contract says. `raw` is the start of its body."""

    def __init__(self, message: str, *, raw: bytes = b"", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.raw = raw


# What the books meet


class NotFoundError(AlikassaError):
    """No such merchant, certificate or account."""


class ConflictError(AlikassaError):
    """The reference, uuid or key is taken by something else."""


class InsufficientFundsError(AlikassaError):
    """A bucket holds less than what was asked for. Amounts are text with eight decimals.

    `of` names what was looked at when that is not the whole bucket, or more than it.
    """

    def __init__(self, *, bucket: str, asked: str, available: str, currency: str, of: str = "") -> None:
        super().__init__(f"{of or bucket} has {available} {currency}, and {asked} was asked for.")
        self.bucket = bucket
        self.asked = asked
        self.available = available


class ExceedsPaymentError(AlikassaError):
    """More would go back than the payment brought. Amounts are text with eight decimals."""

    def __init__(self, *, payment: str, asked: str, available: str, currency: str) -> None:
        super().__init__(
            f"Of payment {payment!r} {available} {currency} can still go back, and {asked} was asked for.",
            remedy="See its refunds and chargebacks in the statement.",
        )
        self.asked = asked
        self.available = available


class BoundExceededError(AlikassaError):
    """A total would reach 10^18."""


class AccountStateError(AlikassaError):
    """The account is frozen, closed, or not empty. `state` is its state."""

    def __init__(self, message: str, *, state: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.state = state


class EffectiveTimeError(AlikassaError):
    """An event would take effect in the future or in a closed period."""


class PayoutStateError(AlikassaError):
    """A payout's `state` does not allow what is `claimed` of it."""

    def __init__(self, message: str, *, payout: str, state: str, claimed: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.payout = payout
        self.state = state
        self.claimed = claimed


class OverloadedError(AlikassaError):
    """More commands wait than may. Nothing was booked."""

    retryable = True


class InvariantError(AlikassaError):
    """The books would stop being true. Nothing was written. This is a defect: please report it."""


class DatabaseError(AlikassaError):
    """The database cannot be used."""


class DatabaseMissingError(DatabaseError):
    """There is no database at that address."""


class DatabaseVersionError(DatabaseError):
    """The database's schema is older or newer than this program, or not ours."""


class DatabaseUnavailableError(DatabaseError):
    """The database does not answer, is locked, or went away."""

    retryable = True


class DatabaseConflictError(DatabaseUnavailableError):
    """Another transaction went first, and this one was undone: deadlock or serialization."""
