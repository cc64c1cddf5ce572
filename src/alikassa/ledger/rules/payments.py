"""Money from customers, and back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.errors import ConflictError, ExceedsPaymentError, InsufficientFundsError, NotFoundError
from alikassa.ledger.model import Bucket, JournalEntry, Kind, SystemAccount
from alikassa.ledger.policy import due, withhold
from alikassa.ledger.rules.holds import draw, in_order_of_age, lots_of
from alikassa.money import from_units

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import Chargeback, ChargebackReversal, Payment, Refund
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["chargeback", "chargeback_reversal", "payment", "refund"]


def payment(command: Payment, sheet: Sheet, now: datetime) -> Draft:
    """Clearing gives the gross amount; fee, reserve, hold and balance take it, by the account's policy."""
    draft, policy, version = sheet.draft(), sheet.policy, sheet.account.policy
    parts = withhold(policy, command.amount)
    start = command.effective_at or sheet.moment(now)
    draft.detail = str(version)
    draft.post(SystemAccount.CLEARING, -command.amount)
    draft.post(SystemAccount.FEES, parts.fee)
    if parts.reserve:
        due_at = due(policy, start, policy.reserve_days)
        draft.open_lot(Bucket.ROLLING_RESERVE, parts.reserve, command.reference, version, due_at)
    if parts.hold:
        due_at = due(policy, start, policy.hold_days)
        draft.open_lot(Bucket.HOLD, parts.hold, command.reference, version, due_at)
    draft.post(Bucket.BALANCE, parts.balance)
    return draft


def refund(command: Refund, sheet: Sheet, _: datetime) -> Draft:
    """The payment's own lots, hold before reserve, then the balance; refused if these are short. The fee is kept."""
    paid = _payment(command.payment, sheet)
    _check_left(command.amount, paid, sheet)
    own = lots_of(paid, sheet, Bucket.HOLD) + lots_of(paid, sheet, Bucket.ROLLING_RESERVE)
    available = sum(lot.remaining for lot in own) + max(sheet.account.buckets[Bucket.BALANCE], 0)
    if command.amount > available:
        raise InsufficientFundsError(
            bucket=Bucket.BALANCE,
            asked=from_units(command.amount),
            available=from_units(available),
            currency=sheet.account.currency,
            of="what is held of the payment and the balance together",
        )
    draft = sheet.draft()
    draft.subject = paid.sequence
    rest = draw(draft, own, command.amount)
    draft.post(Bucket.BALANCE, -rest)
    draft.post(SystemAccount.CLEARING, command.amount)
    return draft


def chargeback(command: Chargeback, sheet: Sheet, _: datetime) -> Draft:
    """The payment's own lots, the balance, then the oldest reserve lots; what is still missing, the balance owes."""
    paid = _payment(command.payment, sheet)
    _check_left(command.amount, paid, sheet)
    own = lots_of(paid, sheet, Bucket.HOLD) + lots_of(paid, sheet, Bucket.ROLLING_RESERVE)
    draft = sheet.draft()
    draft.subject = paid.sequence
    rest = draw(draft, own, command.amount)
    from_balance = min(rest, max(sheet.account.buckets[Bucket.BALANCE], 0))
    owned = {lot.key for lot in own}
    others = [lot for lot in in_order_of_age(sheet, Bucket.ROLLING_RESERVE) if lot.key not in owned]
    owed = draw(draft, others, rest - from_balance)
    draft.post(Bucket.BALANCE, -(from_balance + owed))
    draft.post(SystemAccount.CLEARING, command.amount)
    return draft


def chargeback_reversal(command: ChargebackReversal, sheet: Sheet, _: datetime) -> Draft:
    lost = sheet.entries.get((Kind.CHARGEBACK, command.chargeback))
    if lost is None:
        raise NotFoundError(f"The account has no chargeback {command.chargeback!r}.")
    for follower in sheet.followers.get(lost.sequence, ()):
        raise ConflictError(
            f"The chargeback {command.chargeback!r} was reversed already, by entry {follower.sequence}."
        )
    draft = sheet.draft()
    draft.subject = lost.sequence
    amount = gross(lost)
    draft.post(SystemAccount.CLEARING, -amount)
    draft.post(Bucket.BALANCE, amount)
    return draft


def gross(entry: JournalEntry) -> int:
    """What went through clearing, without its sign."""
    return abs(sum(one.amount for one in entry.postings if one.bucket is SystemAccount.CLEARING))


def _payment(reference: str, sheet: Sheet) -> JournalEntry:
    found = sheet.entries.get((Kind.PAYMENT, reference))
    if found is None:
        raise NotFoundError(f"The account has no payment {reference!r}.", remedy="Check the payment's reference.")
    return found


def _check_left(amount: int, paid: JournalEntry, sheet: Sheet) -> None:
    """Refunds and unreversed chargebacks of a payment stay within it."""
    left = gross(paid)
    for follower in sheet.followers.get(paid.sequence, ()):
        if follower.kind is Kind.REFUND or not sheet.followers.get(follower.sequence):
            left -= gross(follower)
    if amount > left:
        raise ExceedsPaymentError(
            payment=paid.reference,
            asked=from_units(amount),
            available=from_units(left),
            currency=sheet.account.currency,
        )
