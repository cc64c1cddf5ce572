"""Payouts: under way once, final once. What the bank says against that moves nothing until somebody has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ConflictError, InsufficientFundsError, NotFoundError, PayoutStateError
from alikassa.ledger.model import Bucket, Payout, PayoutState, SystemAccount
from alikassa.money import from_units

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import PayoutCancel, PayoutCorrect, PayoutCreate, PayoutFail, PayoutPaid, PayoutReturn
    from alikassa.ledger.model import JournalEntry
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["callback", "correct", "create"]

_FROM = {
    PayoutState.PAID: PayoutState.PENDING,
    PayoutState.FAILED: PayoutState.PENDING,
    PayoutState.CANCELLED: PayoutState.PENDING,
    PayoutState.RETURNED: PayoutState.PAID,
}


def create(command: PayoutCreate, sheet: Sheet, now: datetime) -> Draft:
    if command.reference in sheet.payouts:
        raise ConflictError(f"The account has a payout {command.reference!r} already, made by hand or brought along.")
    asked, available = command.amount + command.fee, sheet.account.buckets[Bucket.BALANCE]
    if asked > available:
        raise InsufficientFundsError(
            bucket=Bucket.BALANCE,
            asked=from_units(asked),
            available=from_units(available),
            currency=sheet.account.currency,
        )
    draft = sheet.draft()
    draft.post(Bucket.BALANCE, -asked)
    draft.post(SystemAccount.FEES, command.fee)
    at = command.effective_at or sheet.moment(now)
    open_payout(draft, command.reference, command.amount, command.fee, at)
    return draft


def open_payout(draft: Draft, reference: str, amount: int, fee: int, at: datetime, *, by_hand: bool = False) -> None:
    """A new payout, and its posting in `pending_payouts`."""
    key = draft.next_key()
    draft.post(Bucket.PENDING_PAYOUTS, amount, key)
    draft.payouts.append(Payout(key, reference, amount, fee, by_hand, at, PayoutState.PENDING, draft.sequence, at))


def callback(
    command: PayoutPaid | PayoutFail | PayoutCancel | PayoutReturn, sheet: Sheet, now: datetime
) -> Draft | JournalEntry:
    payout = _payout(command.reference, sheet)
    if payout.state is command.state:
        # A correction said so before the bank did.
        return sheet.by_sequence(payout.state_sequence)
    if payout.state is not _FROM[command.state]:
        if payout.state is PayoutState.PENDING:
            raise PayoutStateError(
                f"The payout {payout.reference!r} is not paid yet: it cannot be {command.state}.",
                payout=payout.reference,
                state=payout.state,
                claimed=command.state,
                remedy="Book what comes first: paid, failed or cancelled.",
            )
        raise PayoutStateError(
            f"The payout {payout.reference!r} is {payout.state}, and now it is said to be {command.state}.",
            payout=payout.reference,
            state=payout.state,
            claimed=command.state,
            remedy="Nothing moved, and a discrepancy is open. Ask the bank, then: alikassa payout correct.",
        )
    return _move(payout, command.state, sheet, command.effective_at or sheet.moment(now))


def correct(command: PayoutCorrect, sheet: Sheet, now: datetime) -> Draft:
    payout = _payout(command.payout, sheet)
    if payout.state is PayoutState.PENDING or payout.state is command.to:
        raise PayoutStateError(
            f"The payout {payout.reference!r} is {payout.state}: there is nothing to correct.",
            payout=payout.reference,
            state=payout.state,
            claimed=command.to,
            remedy="Only a final payout is corrected, into another final state.",
        )
    draft = _move(payout, command.to, sheet, command.effective_at or sheet.moment(now))
    draft.detail = command.to
    return draft


def _payout(reference: str, sheet: Sheet) -> Payout:
    found = sheet.payouts.get(reference)
    if found is None:
        raise NotFoundError(f"The account has no payout {reference!r}.", remedy="Check the payout's reference.")
    return found


def _move(payout: Payout, to: PayoutState, sheet: Sheet, at: datetime) -> Draft:
    """What `to` leaves in each place, less what the present state has there."""
    draft = sheet.draft()
    draft.subject = payout.key.sequence
    before, after = _places(payout, payout.state), _places(payout, to)
    for place in before:
        key = payout.key if place is Bucket.PENDING_PAYOUTS else None
        draft.post(place, after[place] - before[place], key)
    draft.payouts.append(msgspec.structs.replace(payout, state=to, state_sequence=draft.sequence, state_at=at))
    return draft


def _places(payout: Payout, state: PayoutState) -> dict[Bucket | SystemAccount, int]:
    """Where a payout's money is in each of its states, against an account that never made it."""
    amount, fee = payout.amount, payout.fee
    pending, out, balance, fees = 0, 0, 0, 0
    if state is PayoutState.PENDING:
        pending, balance, fees = amount, -amount - fee, fee
    elif state is PayoutState.PAID:
        out, balance, fees = amount, -amount - fee, fee
    elif state is PayoutState.RETURNED:
        balance, fees = -fee, fee
    return {
        Bucket.PENDING_PAYOUTS: pending,
        SystemAccount.PAYOUTS: out,
        SystemAccount.FEES: fees,
        Bucket.BALANCE: balance,
    }
