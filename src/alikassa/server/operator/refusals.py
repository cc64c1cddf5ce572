"""Everything that is not done, in one shape: what happened, what to do about it, and the status that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar.exceptions import HTTPException, ValidationException
from msgspec import UNSET, Meta, UnsetType

from alikassa import errors
from alikassa.errors import AlikassaError, InvalidInputError
from alikassa.ledger.attempts import Answer
from alikassa.server.operator.answers import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Problem", "Refusal", "RefusalDetail", "RequestError", "malformed", "problem_of"]

RETRY_SECONDS = 1


class RefusalDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, and what to do. The others where there are such: amounts of the books, a payout's state."""

    type: Annotated[str, Meta(description="What kind of refusal; programs go by it.")]
    message: str
    remedy: str
    bucket: str | UnsetType = UNSET
    asked: str | UnsetType = UNSET
    available: str | UnsetType = UNSET
    payout: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    claimed: str | UnsetType = UNSET


class Refusal(msgspec.Struct, frozen=True):
    """The one body of everything that is not done."""

    error: RefusalDetail


class RequestError(AlikassaError):
    """The request itself cannot be taken, whatever the books say."""

    def __init__(
        self, status: int, kind: str, message: str, *, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})


class Problem(msgspec.Struct, frozen=True):
    """A refusal ready to be sent. `unexpected`: a defect of ours, for the log."""

    status: int
    detail: RefusalDetail
    headers: dict[str, str] = {}
    unexpected: bool = False

    @property
    def answer(self) -> Answer:
        return Answer(self.status, encode(Refusal(self.detail)))


#: The first that fits counts. A status below 500 is a refusal that a caller can do something about.
_KINDS: tuple[tuple[type[AlikassaError], int, str], ...] = (
    (errors.AmountError, 400, "InvalidAmount"),
    (errors.InvalidInputError, 400, "InvalidInput"),
    (errors.CertificateError, 400, "InvalidCertificate"),
    (errors.NotFoundError, 404, "NotFound"),
    (errors.ConflictError, 409, "Conflict"),
    (errors.PayoutStateError, 409, "PayoutState"),
    (errors.AccountStateError, 409, "AccountState"),
    (errors.InsufficientFundsError, 422, "InsufficientFunds"),
    (errors.ExceedsPaymentError, 422, "ExceedsPayment"),
    (errors.BoundExceededError, 422, "BoundExceeded"),
    (errors.EffectiveTimeError, 422, "EffectiveTime"),
    (errors.OverloadedError, 503, "Overloaded"),
)
_DETAILS = ("bucket", "asked", "available", "payout", "state", "claimed")

#: What the framework refuses by itself, by status.
_OF_HTTP: dict[int, tuple[str, str, str]] = {
    400: ("MalformedRequest", "The request cannot be read.", "See what it has to be in /operator/docs."),
    404: ("NotFound", "There is nothing here.", "See /operator/docs; ids are uuids."),
    405: ("MethodNotAllowed", "This method is not for this address.", "Use one that the header Allow names."),
    413: ("TooLarge", "The body is too large.", "Send at most 1 MiB; split a bulk."),
}


def problem_of(error: Exception) -> Problem:
    """What to say of an error. Of our own defects and of the database's troubles nothing but that they are."""
    if isinstance(error, RequestError):
        detail = RefusalDetail(type=error.kind, message=str(error), remedy=error.remedy)
        return Problem(error.status, detail, error.headers)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, errors.DatabaseError):
        return _retry(
            "DatabaseUnavailable",
            "The database does not answer.",
            "Whether it was done is not known: send the same again, with the same reference and Idempotency-Key.",
        )
    for kind, status, name in _KINDS:
        if isinstance(error, kind):
            if status == 503:
                return _retry(name, str(error), error.remedy)
            more: dict[str, Any] = {
                field: value for field in _DETAILS if isinstance(value := getattr(error, field, None), str)
            }
            return Problem(status, RefusalDetail(type=name, message=str(error), remedy=error.remedy, **more))
    detail = RefusalDetail(
        type="Internal", message="Something went wrong here.", remedy="Send it again; the server's log has the cause."
    )
    return Problem(500, detail, unexpected=True)


def _retry(kind: str, message: str, remedy: str) -> Problem:
    detail = RefusalDetail(type=kind, message=message, remedy=remedy)
    return Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})


def _of_http(error: HTTPException) -> Problem:
    kind, message, remedy = _OF_HTTP.get(error.status_code, ("", "", ""))
    if not kind:
        return problem_of(RuntimeError()) if error.status_code >= 500 else _of_http_400()
    if isinstance(error, ValidationException):
        message = str(error.detail)
    return Problem(
        error.status_code,
        RefusalDetail(type=kind, message=message, remedy=remedy),
        {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"},
    )


def _of_http_400() -> Problem:
    kind, message, remedy = _OF_HTTP[400]
    return Problem(400, RefusalDetail(type=kind, message=message, remedy=remedy))


#: Fields that hold amounts, wherever they are.
_AMOUNTS = frozenset(
    {
        *("amount", "fee", "balance", "hold", "rolling_reserve", "pending_payouts"),
        *("fee_percent", "fee_fixed", "hold_percent", "reserve_percent"),
    }
)


def malformed(error: msgspec.MsgspecError | UnicodeDecodeError) -> InvalidInputError:
    """What is wrong with JSON, or with its shape. Names the field, never quotes what was sent."""
    text = str(error)
    where = text.rpartition("`$")[2].rstrip("`").lstrip(".") if "`$" in text else ""
    field = where.rpartition(".")[2]
    if field in _AMOUNTS and text.startswith(("Expected `str`, got `int`", "Expected `str`, got `float`")):
        return InvalidInputError(
            f"{where} is a JSON number.", remedy='Amounts are strings, so that no program rounds them: "93.84".'
        )
    if not isinstance(error, msgspec.ValidationError):
        return InvalidInputError("The body is not JSON.", remedy="Send one JSON object in UTF-8.")
    return InvalidInputError(f"{text}.", remedy="See the shape of the body in /operator/docs.")
