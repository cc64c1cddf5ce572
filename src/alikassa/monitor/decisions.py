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

    `snapshots` are of one profile, the oldest first: those of the rule's window up to `now`, and the last one before
    it. An alert fires once, and then is silent until it is over. Where the snapshots say nothing of what the rule is
    about (no answer, an amount that was not told), everything stays as it is.
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
    if snapshots[-1].figures is None:
        return None
    if isinstance(rule, PendingStuck):
        return _pending_stuck(rule, snapshots)
    told = _told(snapshots, rule.bucket)
    if snapshots[-1].figures.of(rule.bucket) is None:
        return None
    last, unit = told[-1], snapshots[-1].figures.currency
    if isinstance(rule, Below):
        return _Finding(
            last < rule.limit,
            difference(last, rule.slack) >= rule.limit,
            f"{rule.bucket} is {amount_text(last)} {unit}; the limit is {rule.amount}",
        )
    if isinstance(rule, Above):
        over = last <= difference(rule.limit, rule.slack)
        return _Finding(
            last > rule.limit, over, f"{rule.bucket} is {amount_text(last)} {unit}; the limit is {rule.amount}"
        )
    return _moved(rule, told, unit)


def _moved(rule: Drop | HoldGrown, told: Sequence[Decimal], unit: str) -> _Finding:
    last = told[-1]
    falls = isinstance(rule, Drop)
    moved = difference(max(told), last) if falls else difference(last, min(told))
    word = "fell" if falls else "grew"
    return _Finding(
        moved >= rule.limit,
        moved < rule.limit and moved <= difference(rule.limit, rule.slack),
        f"{rule.bucket} {word} by {amount_text(moved)} {unit} within {rule.within}, to {amount_text(last)}",
    )


def _pending_stuck(rule: PendingStuck, snapshots: Sequence[Snapshot]) -> _Finding | None:
    seen = [(one.at, one.figures.pending_payouts) for one in snapshots if one.figures is not None]
    last_at, pending = seen[-1]
    if pending is None:
        return None
    first = last_at
    for at, amount in reversed(seen):
        if amount != pending:
            break
        first = at
    stuck = pending > 0 and last_at - first >= rule.window
    unit = snapshots[-1].figures.currency if snapshots[-1].figures else ""
    text = f"pending payouts are {amount_text(pending)} {unit}, unchanged for {age_text(last_at - first)}"
    return _Finding(stuck, not stuck, text)


def _no_answer(rule: NoAnswer, snapshots: Sequence[Snapshot], now: datetime) -> _Finding | None:
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


def _told(snapshots: Sequence[Snapshot], bucket: Bucket) -> list[Decimal]:
    amounts = (one.figures.of(bucket) for one in snapshots if one.figures is not None)
    return [amount for amount in amounts if amount is not None]
