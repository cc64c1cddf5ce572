"""From a command to the rule for its kind, with what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alikassa.clock import moment_text
from alikassa.errors import (
    AccountStateError,
    BoundExceededError,
    ConflictError,
    EffectiveTimeError,
)
from alikassa.ledger.model import BUCKETS, AccountState, Bucket, JournalEntry, Kind, SystemAccount
from alikassa.ledger.rules import accounts, corrections, holds, payments, payouts
from alikassa.money import from_units, within_bounds

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import Command
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["decide", "earlier"]

Rule = Callable[[Any, "Sheet", "datetime"], "Draft | JournalEntry"]

_RULES: dict[Kind, Rule] = {
    Kind.OPENING: corrections.opening,
    Kind.PAYMENT: payments.payment,
    Kind.REFUND: payments.refund,
    Kind.CHARGEBACK: payments.chargeback,
    Kind.CHARGEBACK_REVERSAL: payments.chargeback_reversal,
    Kind.HOLD_PLACED: holds.place,
    Kind.HOLD_RELEASED: holds.release_by_hand,
    Kind.RESERVE_RELEASED: holds.release_by_hand,
    Kind.PAYOUT_CREATED: payouts.create,
    Kind.PAYOUT_PAID: payouts.callback,
    Kind.PAYOUT_FAILED: payouts.callback,
    Kind.PAYOUT_CANCELLED: payouts.callback,
    Kind.PAYOUT_RETURNED: payouts.callback,
    Kind.PAYOUT_CORRECTED: payouts.correct,
    Kind.FEE: corrections.fee,
    Kind.ADJUSTMENT: corrections.adjustment,
    Kind.REVERSAL: corrections.reversal,
    Kind.POLICY_SET: accounts.set_policy,
    Kind.ACCOUNT_FROZEN: accounts.freeze,
    Kind.ACCOUNT_UNFROZEN: accounts.unfreeze,
    Kind.ACCOUNT_CLOSED: accounts.close,
    Kind.PERIOD_CLOSED: accounts.close_period,
}

#: What a frozen account does not take: what would let money go by the merchant's wish.
_NOT_WHEN_FROZEN = frozenset({Kind.PAYOUT_CREATED, Kind.HOLD_RELEASED, Kind.RESERVE_RELEASED})
#: What a closed account still takes: what banks do all the same, and what puts it right.
_WHEN_CLOSED = frozenset(
    {
        *(Kind.CHARGEBACK, Kind.CHARGEBACK_REVERSAL, Kind.PAYOUT_RETURNED, Kind.PAYOUT_CORRECTED),
        *(Kind.ADJUSTMENT, Kind.REVERSAL, Kind.PERIOD_CLOSED),
    }
)


def earlier(command: Command, sheet: Sheet) -> JournalEntry | None:
    """The entry that this very command has made before. ConflictError when its reference names another event."""
    _, kind, reference = command.named
    entry = sheet.entries.get((kind, reference))
    if entry is not None and entry.content != command.content:
        raise ConflictError(
            f"The reference {reference!r} is taken by another {kind} of this account, number {entry.sequence}.",
            remedy="Nothing was booked. Choose a new reference for a new event.",
        )
    return entry


def decide(command: Command, sheet: Sheet, now: datetime) -> Draft | JournalEntry:
    """The draft of the entry that books `command`, or the entry that already says what it says.

    The command has passed `check`, its reference is free, and what was due is released. Refusals, in this order:
    AccountStateError, EffectiveTimeError, then those of the kind's own rule (NotFoundError, ConflictError,
    ExceedsPaymentError, PayoutStateError, InsufficientFundsError), BoundExceededError.
    """
    kind = command.kind
    if sheet.account.state is AccountState.CLOSED and kind not in _WHEN_CLOSED:
        raise AccountStateError(f"The account is closed: no {kind} is booked on it.", state=sheet.account.state)
    if sheet.account.state is AccountState.FROZEN and kind in _NOT_WHEN_FROZEN:
        raise AccountStateError(
            f"The account is frozen: no {kind} until it is unfrozen.",
            state=sheet.account.state,
            remedy="See why in its statement; alikassa account unfreeze ends it.",
        )
    _check_time(command, sheet, now)
    decided = _RULES[kind](command, sheet, now)
    if isinstance(decided, JournalEntry):
        return decided
    # A closed period's entry says by it until when: nothing else in the journal does.
    if command.effective_at is not None and kind is not Kind.PERIOD_CLOSED:
        decided.effective_at = command.effective_at
    _check_bounds(decided, sheet)
    return decided


def _check_time(command: Command, sheet: Sheet, now: datetime) -> None:
    at, closed = command.effective_at, sheet.account.closed_until
    if at is None:
        return
    if at > now:
        raise EffectiveTimeError(
            f"effective_at {moment_text(at)} has not come yet.", remedy="Book it when it has happened."
        )
    if closed is not None and at < closed:
        raise EffectiveTimeError(
            f"effective_at {moment_text(at)} lies in a closed period, which ends {moment_text(closed)}.",
            remedy="Book it with effect from now, and say in the reason when it happened.",
        )


def _check_bounds(draft: Draft, sheet: Sheet) -> None:
    totals: dict[Bucket | SystemAccount, int] = dict(sheet.account.buckets.items())
    for posting in draft.postings:
        if isinstance(posting.bucket, Bucket):
            totals[posting.bucket] += posting.amount
    for bucket, total in totals.items():
        if not within_bounds(total):
            raise BoundExceededError(f"{bucket} would reach {from_units(total)}; totals stay below 10^18.")
    # What is held comes into the balance when it is due, and cannot be refused then.
    whole = sum(totals[bucket] for bucket in BUCKETS)
    if not within_bounds(whole):
        raise BoundExceededError(f"The account would have {from_units(whole)} in all; totals stay below 10^18.")
