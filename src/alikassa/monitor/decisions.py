"""Whether an alert begins or ends: decided from what was seen, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from alikassa.clock import moment_text
from alikassa.monitor.durations import age_text
from alikassa.monitor.rules import Above, Below, Drop, HoldGrown, NoAnswer, PendingStuck
from alikassa.monitor.snapshots import Bucket, amount_text, difference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from alikassa.monitor.rules import Rule
    from alikassa.monitor.snapshots import Snapshot

__all__ = ["Alert", "AlertKind", "RuleState", "decide"]


class AlertKind(StrEnum):
    FIRED = "fired"
    OVER = "over"


@dataclass(frozen=True)
class RuleState:
    """Whether a rule's alert for a profile is on: `since` when, None when it is off."""

    since: datetime | None = None


class Alert(msgspec.Struct, frozen=True):
    """What is told. `id` is the same for the same alert, however often it is told."""

    rule: str
    profile: str
    account: str
    kind: AlertKind
    at: datetime
    since: datetime
    text: str

    @property
    def id(self) -> str:
        return f"{self.rule}/{self.profile}/{moment_text(self.since)}/{self.kind}"


@dataclass(frozen=True)
class _Finding:
    """What a rule sees now. Between `holds` and `over` lies the margin, where things stay as they are."""

    holds: bool
    over: bool
    text: str


def decide(
    rule: Rule, snapshots: Sequence[Snapshot], state: RuleState, now: datetime
) -> tuple[Alert | None, RuleState]:
    """The alert that is due, if any, and the state after it.

    `snapshots` are of one profile, the oldest first, none after `now`: at least those of the rule's window, and the
    last answer before it. An alert fires once, and then is silent until it is over. Where the last snapshot says
    nothing of what the rule is about (no answer, an amount that was not told), everything stays as it is.
    """
    found = _find(rule, snapshots, now) if snapshots else None
    if found is None:
        return None, state
    last = snapshots[-1]
    if state.since is None and found.holds:
        alert = Alert(rule.name, last.profile, last.account, AlertKind.FIRED, now, now, found.text)
        return alert, RuleState(now)
    if state.since is not None and found.over:
        text = f"{found.text} (over after {age_text(now - state.since)})"
        return Alert(rule.name, last.profile, last.account, AlertKind.OVER, now, state.since, text), RuleState()
    return None, state


def _find(rule: Rule, snapshots: Sequence[Snapshot], now: datetime) -> _Finding | None:
    if isinstance(rule, NoAnswer):
        return _no_answer(rule, snapshots, now)
    last = snapshots[-1]
    bucket = Bucket.PENDING_PAYOUTS if isinstance(rule, PendingStuck) else rule.bucket
    amount = None if last.figures is None else last.figures.of(bucket)
    if last.figures is None or amount is None:
        return None
    unit = last.figures.currency
    if isinstance(rule, Below | Above):
        return _threshold(rule, amount, unit)
    told = _told(snapshots, bucket, last.at - rule.window)
    return _pending_stuck(rule, told, unit) if isinstance(rule, PendingStuck) else _moved(rule, told, unit)


def _threshold(rule: Below | Above, amount: Decimal, unit: str) -> _Finding:
    text = f"{rule.bucket} is {amount_text(amount)} {unit}; the limit is {rule.amount}"
    if isinstance(rule, Below):
        return _Finding(amount < rule.limit, difference(amount, rule.slack) >= rule.limit, text)
    return _Finding(amount > rule.limit, amount <= difference(rule.limit, rule.slack), text)


def _moved(rule: Drop | HoldGrown, told: Sequence[_Told], unit: str) -> _Finding:
    last_at, last = told[-1]
    amounts = [amount for _, amount in told]
    falls = isinstance(rule, Drop)
    peak = max(amounts) if falls else min(amounts)
    moved = difference(peak, last) if falls else difference(last, peak)
    # The latest of equal ones: the shortest time in which it moved that far.
    peak_at = max(at for at, amount in told if amount == peak)
    text = (
        f"{rule.bucket} is {amount_text(last)} {unit}, {amount_text(moved)} {'below' if falls else 'above'}"
        f" {amount_text(peak)} of {age_text(last_at - peak_at)} before; the limit is {rule.amount} within {rule.within}"
    )
    return _Finding(moved >= rule.limit, moved < rule.limit and moved <= difference(rule.limit, rule.slack), text)


def _pending_stuck(rule: PendingStuck, told: Sequence[_Told], unit: str) -> _Finding:
    last_at, pending = told[-1]
    first, changed = last_at, False
    for at, amount in reversed(told):
        if amount != pending:
            changed = True
            break
        first = at
    stuck = pending > 0 and last_at - first >= rule.window
    text = f"pending payouts are {amount_text(pending)} {unit}, unchanged for {age_text(last_at - first)}"
    # Not over where the snapshots merely do not reach back, as after the clock was set back.
    return _Finding(stuck, pending <= 0 or (changed and not stuck), text)


def _no_answer(rule: NoAnswer, snapshots: Sequence[Snapshot], now: datetime) -> _Finding:
    last = snapshots[-1]
    if last.failure is None:
        return _Finding(holds=False, over=True, text="there is an answer again")
    first = last.at
    for one in reversed(snapshots):
        if one.failure is None:
            break
        first = one.at
    text = f"no answer for {age_text(now - first)}: {last.failure.text}"
    return _Finding(now - first >= rule.window, over=False, text=text)


_Told = tuple["datetime", "Decimal"]


def _told(snapshots: Sequence[Snapshot], bucket: Bucket, since: datetime) -> list[_Told]:
    """What was told of the bucket from `since` on, and the last before it, with the times.

    Only of the last snapshot's account and currency: amounts of two do not compare.
    """
    last, found = snapshots[-1], list[_Told]()
    for one in reversed(snapshots):
        if one.figures is None or last.figures is None or one.account != last.account:
            continue
        amount = one.figures.of(bucket)
        if amount is None or one.figures.currency != last.figures.currency:
            continue
        found.append((one.at, amount))
        if one.at <= since:
            break
    found.reverse()
    return found
