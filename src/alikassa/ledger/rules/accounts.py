"""An account's terms and state. These entries move no money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.errors import AccountStateError, EffectiveTimeError
from alikassa.ledger.model import AccountState
from alikassa.money import from_units

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.commands import CloseAccount, ClosePeriod, Freeze, SetPolicy, Unfreeze
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["close", "close_period", "freeze", "set_policy", "unfreeze"]


def set_policy(command: SetPolicy, sheet: Sheet, _: datetime) -> Draft:
    draft = sheet.draft()
    draft.policy = command.policy
    return draft


def freeze(_: Freeze, sheet: Sheet, __: datetime) -> Draft:
    return _turn(sheet, AccountState.OPEN, AccountState.FROZEN)


def unfreeze(_: Unfreeze, sheet: Sheet, __: datetime) -> Draft:
    return _turn(sheet, AccountState.FROZEN, AccountState.OPEN)


def close(_: CloseAccount, sheet: Sheet, __: datetime) -> Draft:
    left = [f"{bucket} {from_units(amount)}" for bucket, amount in sheet.account.buckets.items() if amount]
    if left:
        raise AccountStateError(
            f"The account is not empty: {', '.join(left)}.",
            state=sheet.account.state,
            remedy="Pay out what is left, and wait until hold, reserve and payouts are gone.",
        )
    draft = sheet.draft()
    draft.state = AccountState.CLOSED
    return draft


def _turn(sheet: Sheet, before: AccountState, after: AccountState) -> Draft:
    if sheet.account.state is not before:
        raise AccountStateError(f"The account is {sheet.account.state} already.", state=sheet.account.state)
    draft = sheet.draft()
    draft.state = after
    return draft


def close_period(command: ClosePeriod, sheet: Sheet, now: datetime) -> Draft:
    """The entry's `effective_at` is the end of the closed period."""
    closed = sheet.account.closed_until
    if command.until > now:
        raise EffectiveTimeError(f"The period until {moment_text(command.until)} is not over yet.")
    if closed is not None and command.until <= closed:
        raise EffectiveTimeError(f"The books are closed until {moment_text(closed)} already.")
    draft = sheet.draft()
    draft.closed_until = draft.effective_at = command.until
    return draft
