"""What was booked, and what to do about a refusal, in a sentence for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.cli.books.telling import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alikassa.errors import InsufficientFundsError
    from alikassa.ledger.commands import Command
    from alikassa.ledger.model import Booked, Bucket, Lot, LotKey, SystemAccount
    from alikassa.ledger.policy import Policy

__all__ = ["policy_words", "remedy", "sentence"]


def sentence(command: Command, booked: Booked, lots: Mapping[LotKey, Lot]) -> str:
    """Such as: Booked payment order-17 as entry 5: 1000.00000000 RUB: fee 39.00000000, ..."""
    from alikassa.money import from_units

    entry, account = booked.entry, booked.account
    parts = [f"{_what(command)} as entry {entry.sequence}"]
    amount = getattr(command, "amount", None)
    if amount is not None:
        parts.append(f"{from_units(amount)} {account.currency}")
    moved = ", ".join(_moved(booked, lots))
    said = moved or _said(command)
    if said:
        parts.append(said)
    text = ": ".join(parts)
    return f"Booked before, nothing changed: {text}." if booked.repeated else f"Booked {text}."


def _what(command: Command) -> str:
    """The event by its name, and what it is about. The templates take the command's own fields."""
    from alikassa.ledger.model import Kind

    return {
        Kind.REFUND: "refund {0.reference} of payment {0.payment}",
        Kind.CHARGEBACK: "chargeback {0.reference} of payment {0.payment}",
        Kind.CHARGEBACK_REVERSAL: "reversal {0.reference} of chargeback {0.chargeback}",
        Kind.HOLD_PLACED: "hold {0.reference}",
        Kind.HOLD_RELEASED: "release {0.reference} from hold",
        Kind.RESERVE_RELEASED: "release {0.reference} from reserve",
        Kind.PAYOUT_CREATED: "payout {0.reference}",
        Kind.PAYOUT_PAID: "payout {0.reference}, paid,",
        Kind.PAYOUT_FAILED: "payout {0.reference}, failed,",
        Kind.PAYOUT_CANCELLED: "payout {0.reference}, cancelled,",
        Kind.PAYOUT_RETURNED: "payout {0.reference}, returned,",
        Kind.PAYOUT_CORRECTED: "correction {0.reference} of payout {0.payout} to {0.to}",
        Kind.ADJUSTMENT: "adjustment {0.reference} of {0.bucket}",
        Kind.REVERSAL: "reversal {0.reference} of {0.of_kind} {0.of}",
        Kind.POLICY_SET: "policy {0.reference}",
        Kind.ACCOUNT_FROZEN: "freeze {0.reference}",
        Kind.ACCOUNT_UNFROZEN: "unfreeze {0.reference}",
        Kind.ACCOUNT_CLOSED: "close {0.reference}",
    }.get(command.kind, "{0.kind} {0.reference}").format(command)


def _moved(booked: Booked, lots: Mapping[LotKey, Lot]) -> Iterator[str]:
    """What each place was given or lost: of a payment its parts, of all else signed sums."""
    from alikassa.ledger.model import Bucket, Kind, SystemAccount
    from alikassa.money import from_units

    names: dict[Bucket | SystemAccount, str] = {
        SystemAccount.FEES: "fee",
        Bucket.ROLLING_RESERVE: "reserve",
        Bucket.HOLD: "hold",
        Bucket.PENDING_PAYOUTS: "pending payouts",
        Bucket.BALANCE: "balance",
    }
    sums: dict[Bucket | SystemAccount, int] = {}
    untils: dict[Bucket | SystemAccount, str] = {}
    for posting in booked.entry.postings:
        sums[posting.bucket] = sums.get(posting.bucket, 0) + posting.amount
        lot = None if posting.lot is None else lots.get(posting.lot)
        if lot is not None:
            until = "released by hand" if lot.due_at is None else moment(lot.due_at)
            untils[posting.bucket] = f" until {until}"
    for place, total in sums.items():
        if place in names:
            sign = "+" if total > 0 and booked.entry.kind is not Kind.PAYMENT else ""
            yield f"{names[place]} {sign}{from_units(total)}{untils.get(place, '')}"


def _said(command: Command) -> str:
    """What an entry changes that moves no money."""
    from alikassa.ledger import commands

    match command:
        case commands.SetPolicy():
            return ", ".join(f"{name} {text}" for name, text in policy_words(command.policy).items())
        case commands.Freeze():
            return "no new payouts and no early releases until it is unfrozen"
        case commands.Unfreeze():
            return "the account is open again"
        case commands.CloseAccount():
            return "it takes no more but what banks send all the same, and what corrects it"
    return ""


def policy_words(policy: Policy) -> dict[str, str]:
    """The terms by what they are about, such as fee: 2.9 % + 10.00000000, hold: 20 % for 2 days."""
    from alikassa.money import from_units

    def held(percent: int, base: str, days: int) -> str:
        if not percent or not days:
            return "none"
        return f"{_percent(percent)} of the {base} for {days} {'day' if days == 1 else 'days'}"

    start = "payment" if policy.clock_start == "payment" else "end of its day"
    reserve_base = "payment" if policy.reserve_base == "gross" else "payment less the fee"
    return {
        "fee": f"{_percent(policy.fee_percent)} + {from_units(policy.fee_fixed)}",
        "hold": held(policy.hold_percent, "payment", policy.hold_days),
        "reserve": held(policy.reserve_percent, reserve_base, policy.reserve_days),
        "counted from": f"the {start} in {policy.time_zone}",
    }


def _percent(percent: int) -> str:
    """Without needless zeros: 2.9 %."""
    from alikassa.money import from_units

    return f"{from_units(percent).rstrip('0').removesuffix('.')} %"


def remedy(command: Command, error: InsufficientFundsError) -> str:
    """What to do when a bucket has too little for this command."""
    from alikassa.ledger.model import Bucket, Kind

    if command.kind is Kind.ADJUSTMENT and error.bucket != Bucket.BALANCE:
        if error.bucket == Bucket.PENDING_PAYOUTS:
            return "Only payouts made by hand are drawn on. End others with: alikassa payout fail, or cancel."
        return "Take less."
    if command.kind in (Kind.HOLD_RELEASED, Kind.RESERVE_RELEASED) and error.available == error.asked:
        return "Nothing of it is left to release."
    return {
        Kind.REFUND: "That is the balance and what is still held of the payment. Refund less, or wait for a release.",
        Kind.HOLD_PLACED: "Hold less: only what is in the balance can be held.",
        Kind.HOLD_RELEASED: "Release less; without --amount all that is left is released.",
        Kind.RESERVE_RELEASED: "Release less; without --amount all that is left is released.",
        Kind.PAYOUT_CREATED: "Amount and fee are both taken from the balance. Pay out less, or wait for a release.",
        Kind.FEE: "Add --overdraw to take it all the same: the balance then falls below zero.",
        Kind.ADJUSTMENT: "Add --overdraw to take it all the same: the balance then falls below zero.",
        Kind.REVERSAL: "What it gave has moved on. Take it with: alikassa account adjust --overdraw.",
    }.get(command.kind, "")
