"""What people correct, and what an account brings from other books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ConflictError, InsufficientFundsError, NotFoundError
from alikassa.ledger.model import Bucket, Kind, PayoutState, SystemAccount
from alikassa.ledger.rules.holds import draw, in_order_of_release
from alikassa.ledger.rules.payouts import open_payout
from alikassa.money import from_units

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import Adjustment, Fee, Opening, Reversal
    from alikassa.ledger.model import JournalEntry, LotKey, Payout, Posting
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["adjustment", "fee", "opening", "reversal"]


def fee(command: Fee, sheet: Sheet, _: datetime) -> Draft:
    if not command.overdraw:
        _check_funds(sheet, Bucket.BALANCE, command.amount, sheet.account.buckets[Bucket.BALANCE])
    draft = sheet.draft()
    draft.post(Bucket.BALANCE, -command.amount)
    draft.post(SystemAccount.FEES, command.amount)
    return draft


def adjustment(command: Adjustment, sheet: Sheet, now: datetime) -> Draft:
    draft = sheet.draft()
    if command.bucket is Bucket.BALANCE:
        if not command.overdraw and command.amount < 0:
            _check_funds(sheet, Bucket.BALANCE, -command.amount, sheet.account.buckets[Bucket.BALANCE])
        draft.post(Bucket.BALANCE, command.amount)
    elif command.bucket is Bucket.PENDING_PAYOUTS:
        at = command.effective_at or sheet.moment(now)
        if command.amount > 0:
            if command.reference in sheet.payouts:
                raise ConflictError(
                    f"The account has a payout {command.reference!r} already.", remedy="Choose another reference."
                )
            open_payout(draft, command.reference, command.amount, 0, at, by_hand=True)
        else:
            _draw_payouts(draft, sheet, -command.amount, at)
    elif command.amount > 0:
        draft.open_lot(command.bucket, command.amount, command.reference, 0, None)
    else:
        lots = in_order_of_release(sheet, command.bucket)
        _check_funds(sheet, command.bucket, -command.amount, sum(lot.remaining for lot in lots))
        draw(draft, lots, -command.amount)
    draft.post(SystemAccount.ADJUSTMENTS, -command.amount)
    return draft


def _draw_payouts(draft: Draft, sheet: Sheet, amount: int, at: datetime) -> None:
    """Take from payouts made by hand, the oldest first: what a bank was told to pay is not made less."""
    pending = sorted(
        (one for one in sheet.payouts.values() if one.by_hand and one.state is PayoutState.PENDING),
        key=lambda one: one.key,
    )
    _check_funds(sheet, Bucket.PENDING_PAYOUTS, amount, sum(one.amount for one in pending))
    for payout in pending:
        part = min(payout.amount, amount)
        if part:
            draft.post(Bucket.PENDING_PAYOUTS, -part, payout.key)
            draft.payouts.append(_changed(payout, -part, draft.sequence, at))
        amount -= part


def _changed(payout: Payout, by: int, sequence: int, at: datetime) -> Payout:
    """A payout by hand of another amount; of nothing, it is cancelled."""
    state = PayoutState.PENDING if payout.amount + by else PayoutState.CANCELLED
    return msgspec.structs.replace(payout, amount=payout.amount + by, state=state, state_sequence=sequence, state_at=at)


def reversal(command: Reversal, sheet: Sheet, now: datetime) -> Draft:
    entry = sheet.entries.get((command.of_kind, command.of))
    if entry is None:
        raise NotFoundError(f"The account has no {command.of_kind} {command.of!r}.", remedy="Check its reference.")
    for follower in sheet.followers.get(entry.sequence, ()):
        # What the bank says of a payout by hand is about the adjustment that made it, too.
        if follower.kind is Kind.REVERSAL:
            raise ConflictError(f"{command.of_kind} {command.of!r} was reversed already, by entry {follower.sequence}.")
    draft = sheet.draft()
    draft.subject = entry.sequence
    for posting in entry.postings:
        _undo(draft, posting, entry, sheet, command.effective_at or sheet.moment(now))
    return draft


def _undo(draft: Draft, posting: Posting, entry: JournalEntry, sheet: Sheet, at: datetime) -> None:
    amount, key = -posting.amount, posting.lot
    if posting.bucket is Bucket.PENDING_PAYOUTS and key is not None:
        payout = _by_key(sheet, key)
        open_amount = payout.amount if payout.state is PayoutState.PENDING else 0
        if amount < 0:
            _check_funds(sheet, Bucket.PENDING_PAYOUTS, -amount, open_amount)
        elif payout.state is not PayoutState.PENDING and (payout.amount or payout.state is not PayoutState.CANCELLED):
            raise ConflictError(f"The payout {payout.reference!r} is {payout.state}: what it drew cannot come back.")
        draft.payouts.append(_changed(payout, amount, draft.sequence, at))
    elif key is not None:
        if amount < 0:
            _check_funds(sheet, Bucket(posting.bucket), -amount, sheet.lots[key].remaining)
    elif posting.bucket is Bucket.BALANCE and amount < 0:
        _check_funds(sheet, Bucket.BALANCE, -amount, sheet.account.buckets[Bucket.BALANCE])
    draft.post(posting.bucket, amount, key)


def _by_key(sheet: Sheet, key: LotKey) -> Payout:
    return next(one for one in sheet.payouts.values() if one.key == key)


def opening(command: Opening, sheet: Sheet, now: datetime) -> Draft:
    """Everything against the system account for openings, before anything else is booked."""
    if any(sheet.account.buckets.values()) or sheet.has_moved:
        raise ConflictError(
            "The account has entries already.", remedy="Opening balances come first. Correct others by adjustments."
        )
    at = command.effective_at or sheet.moment(now)
    draft = sheet.draft()
    draft.post(Bucket.BALANCE, command.balance)
    for lot in command.lots:
        # Due before it was brought: it is released with the next entry, and with effect from here.
        due_at = None if lot.due_at is None else max(lot.due_at, at)
        draft.open_lot(lot.bucket, lot.amount, lot.source or command.reference, 0, due_at)
    for payout in command.payouts:
        open_payout(draft, payout.reference, payout.amount, payout.fee, at)
    total = command.balance + command.hold + command.rolling_reserve + command.pending_payouts
    draft.post(SystemAccount.OPENING, -total)
    return draft


def _check_funds(sheet: Sheet, bucket: Bucket, asked: int, available: int) -> None:
    if asked > available:
        raise InsufficientFundsError(
            bucket=bucket, asked=from_units(asked), available=from_units(available), currency=sheet.account.currency
        )
