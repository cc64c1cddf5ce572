"""What can be told of a command without looking at its account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alikassa.errors import AmountError, InvalidInputError
from alikassa.ledger.commands import (
    Adjustment,
    ClosePeriod,
    HoldRelease,
    Opening,
    PayoutCorrect,
    ReserveRelease,
    Reversal,
    SetPolicy,
)
from alikassa.ledger.model import Bucket, Kind, PayoutState
from alikassa.ledger.policy import check_policy
from alikassa.money import from_units, within_bounds

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import Command

__all__ = ["LONGEST_REFERENCE", "MOST_OPEN", "check", "check_text"]

LONGEST_REFERENCE = 128
LONGEST_REASON = 500
LONGEST_METADATA = 4096
#: Lots and payouts that one opening may bring.
MOST_OPEN = 10_000

# The first and the last days of Python's calendar have no local time in some zones, and no account was held in 1899.
EARLIEST_YEAR = 1900
LATEST_YEAR = 9998

#: Kinds whose reason is for the books to show: somebody decided it by hand.
_REASONED = frozenset(
    {
        *(Kind.ADJUSTMENT, Kind.REVERSAL, Kind.FEE, Kind.HOLD_PLACED, Kind.HOLD_RELEASED, Kind.RESERVE_RELEASED),
        *(Kind.PAYOUT_CORRECTED, Kind.ACCOUNT_FROZEN, Kind.ACCOUNT_UNFROZEN, Kind.ACCOUNT_CLOSED),
    }
)


def check_text(value: str, name: str, longest: int) -> str:
    """The text itself, or InvalidInputError: not empty, not too long, printable, no spaces around it."""
    if not value or value != value.strip() or len(value) > longest or not value.isprintable():
        raise InvalidInputError(
            f"The {name} {value[:longest]!r} cannot be kept.",
            remedy=f"Write 1 to {longest} printable characters, without spaces at the ends.",
        )
    return value


def check(command: Command) -> None:
    """InvalidInputError for what cannot be kept, AmountError for amounts that no such event has."""
    _check_texts(command)
    _check_moment(command.effective_at, "effective_at")
    _check_amounts(command)
    match command:
        case HoldRelease() | ReserveRelease():
            _check_release(command)
        case PayoutCorrect(to=PayoutState.PENDING):
            raise InvalidInputError(
                "A payout is corrected into a final state.", remedy="Write paid, failed, cancelled or returned."
            )
        case Reversal() if command.of_kind not in (Kind.ADJUSTMENT, Kind.FEE):
            raise InvalidInputError(f"A {command.of_kind} is not reversed.", remedy="Adjustments and fees are.")
        case ClosePeriod():
            _check_moment(command.until, "until")
        case SetPolicy():
            check_policy(command.policy)
        case Opening():
            _check_opening(command)


def _check_texts(command: Command) -> None:
    for name in ("reference", "payment", "chargeback", "hold", "payout", "of"):
        value = getattr(command, name, None)
        if value is not None or name == "reference":
            check_text(str(value), name, LONGEST_REFERENCE)
    reason = getattr(command, "reason", "")
    if reason or command.kind in _REASONED:
        check_text(reason, "reason", LONGEST_REASON)
    if command.metadata:
        _check_metadata(command.metadata)


def _check_moment(moment: datetime | None, name: str) -> None:
    if moment is None:
        return
    if moment.tzinfo is None:
        raise InvalidInputError(f"{name} has no time zone.", remedy="Write it as 2026-01-31T12:00:00Z.")
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise InvalidInputError(
            f"{name} is out of range.", remedy=f"Write a year from {EARLIEST_YEAR} to {LATEST_YEAR}."
        )


def _check_release(command: HoldRelease | ReserveRelease) -> None:
    if [command.lot, command.payment, command.hold].count(None) != 2:
        raise InvalidInputError(
            "It is not clear what is to be released.", remedy="Name one: a lot, a payment or a hold."
        )
    if command.hold is not None and isinstance(command, ReserveRelease):
        raise InvalidInputError("A hold is no reserve.", remedy="Name a lot or a payment.")


def _check_amounts(command: Command) -> None:
    amount = getattr(command, "amount", None)
    if amount is not None:
        if amount == 0 and isinstance(command, Adjustment):
            raise AmountError("An adjustment by nothing changes nothing.", remedy="Give an amount other than 0.")
        if not isinstance(command, Adjustment):
            _positive(amount, "amount")
    for name in ("amount", "fee"):
        value = getattr(command, name, None)
        if value is not None and not within_bounds(value):
            raise AmountError(f"The {name} {from_units(value)} is too large: amounts stay below 10^18.")
    if getattr(command, "fee", 0) < 0:
        raise AmountError("The fee is negative.", remedy="Give a fee of 0 or more.")
    if isinstance(command, Adjustment) and command.overdraw and command.bucket is not Bucket.BALANCE:
        raise InvalidInputError(f"{command.bucket} is never overdrawn.", remedy="Only the balance may fall below zero.")


def _positive(amount: int, name: str) -> None:
    if amount <= 0:
        raise AmountError(f"The {name} is {from_units(amount)}.", remedy="Give an amount above 0.")


def _check_metadata(metadata: dict[str, str]) -> None:
    for name, value in metadata.items():
        check_text(name, "metadata's name", 64)
        if not value.isprintable():
            raise InvalidInputError(f"The metadata {name!r} cannot be kept.", remedy="Write printable characters.")
    if len(json.dumps(metadata, ensure_ascii=False)) > LONGEST_METADATA:
        raise InvalidInputError("The metadata is too long.", remedy=f"Up to {LONGEST_METADATA} characters as JSON.")


def _check_opening(command: Opening) -> None:
    if len(command.lots) + len(command.payouts) > MOST_OPEN:
        raise InvalidInputError(f"An opening brings up to {MOST_OPEN} lots and payouts.")
    for lot in command.lots:
        _positive(lot.amount, "lot's amount")
        _check_moment(lot.due_at, "A lot's due_at")
        if lot.bucket not in (Bucket.HOLD, Bucket.ROLLING_RESERVE):
            raise InvalidInputError(f"A lot in {lot.bucket}.", remedy="Lots are in hold or rolling_reserve.")
        if lot.source:
            check_text(lot.source, "source", LONGEST_REFERENCE)
    for payout in command.payouts:
        check_text(payout.reference, "payout's reference", LONGEST_REFERENCE)
        _positive(payout.amount, "payout's amount")
        if payout.fee < 0:
            raise AmountError("The fee is negative.", remedy="Give a fee of 0 or more.")
    if len({payout.reference for payout in command.payouts}) != len(command.payouts):
        raise InvalidInputError("Two payouts of the opening have the same reference.")
    _check_sums(command)


def _check_sums(command: Opening) -> None:
    """The held numbers are what their parts sum to."""
    parts = {
        Bucket.HOLD: sum(one.amount for one in command.lots if one.bucket is Bucket.HOLD),
        Bucket.ROLLING_RESERVE: sum(one.amount for one in command.lots if one.bucket is Bucket.ROLLING_RESERVE),
        Bucket.PENDING_PAYOUTS: sum(one.amount for one in command.payouts),
    }
    for bucket, total in parts.items():
        told = getattr(command, bucket.value)
        if told != total:
            raise InvalidInputError(
                f"{bucket} is {from_units(told)}, and its parts sum to {from_units(total)}.",
                remedy="List every lot and payout that is open; one that is due never has no due_at.",
            )
    for bucket in Bucket:
        if not within_bounds(getattr(command, bucket.value)):
            raise AmountError(f"{bucket} is too large: amounts stay below 10^18.")
