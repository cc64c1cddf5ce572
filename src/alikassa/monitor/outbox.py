"""Alerts that are due, and which rules' alerts are on: kept until told, across restarts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from alikassa import clock
from alikassa.clock import moment_text
from alikassa.monitor.decisions import Alert, RuleState, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.clock import Clock
    from alikassa.monitor.history import History
    from alikassa.monitor.rules import NoAnswer, Rules

__all__ = ["MOST_ATTEMPTS", "Due", "Outbox"]

#: With the waits between them these last for about half a day.
MOST_ATTEMPTS = 20
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(hours=1)
#: Longer than any channel takes to send: who has claimed an alert and not come back by then has died.
_CLAIM = timedelta(minutes=2)
_MOST_AT_ONCE = 200


@dataclass(frozen=True)
class Due:
    """An alert for one channel, and the how-many-eth attempt to tell it this is."""

    alert: Alert
    channel: str
    attempt: int


class Outbox:
    """Decides on what the history holds. An alert and the state after it are written together: neither a kill, nor a
    restart, nor a second process on the same history makes it fire twice. One that cannot be told is tried again, ever
    more seldom and a bounded number of times."""

    def __init__(self, history: History, rules: Rules, channels: Sequence[str], now: Clock = clock.now) -> None:
        self._history, self._rules, self._channels, self._now = history, rules, channels, now

    def decide(self, profile: str, only: type[NoAnswer] | None = None) -> list[Alert]:
        """The alerts that are due now for a profile, of all rules or of `only` one kind; the outbox has them."""
        rules = [rule for rule in self._rules.of(profile) if only is None or isinstance(rule, only)]
        if not rules:
            return []
        alerts: list[Alert] = []
        with self._history.transaction():
            now = self._now()
            snapshots = self._history.recent(profile, now - max(rule.window for rule in rules), now)
            for rule in rules:
                alert, state = decide(rule, snapshots, self._state(rule.name, profile), now)
                if alert is not None:
                    self._keep(rule.name, profile, state)
                    self._put(alert)
                    alerts.append(alert)
        return alerts

    def claim(self, channel: str) -> Due | None:
        """The oldest alert that is to be told to the channel now, if any. It is the caller's for two minutes."""
        if not self._waiting(channel):
            return None
        with self._history.transaction():
            now, blocked = self._now(), set[tuple[str, str]]()
            for content, attempts, not_before in self._waiting(channel):
                alert = msgspec.json.decode(content, type=Alert)
                about = alert.rule, alert.profile
                if about not in blocked and _ripe(not_before, now):
                    self._set(alert, channel, attempts + 1, now + _CLAIM)
                    return Due(alert, channel, attempts + 1)
                # Its end is not told before its beginning.
                blocked.add(about)
        return None

    def tried(self, due: Due, *, delivered: bool) -> None:
        """Write down how a delivery went. One that failed waits: not at all, 30 s, 1 min, 2 min, up to an hour."""
        now = self._now()
        if delivered:
            self._history.execute(
                "UPDATE alerts SET delivered = ? WHERE id = ? AND channel = ?",
                (moment_text(now), due.alert.id, due.channel),
            )
            return
        wait = min(_FIRST_WAIT * 2 ** (due.attempt - 2), _LONGEST_WAIT) if due.attempt > 1 else timedelta()
        self._set(due.alert, due.channel, due.attempt, now + wait)

    def _waiting(self, channel: str) -> list[tuple[bytes, int, str]]:
        return self._history.execute(
            "SELECT content, attempts, not_before FROM alerts WHERE delivered IS NULL AND channel = ? AND attempts < ?"
            " ORDER BY rowid LIMIT ?",
            (channel, MOST_ATTEMPTS, _MOST_AT_ONCE),
        )

    def _set(self, alert: Alert, channel: str, attempts: int, not_before: datetime) -> None:
        self._history.execute(
            "UPDATE alerts SET attempts = ?, not_before = ? WHERE id = ? AND channel = ?",
            (attempts, moment_text(not_before), alert.id, channel),
        )

    def _put(self, alert: Alert) -> None:
        for channel in self._channels:
            self._history.execute(
                "INSERT OR IGNORE INTO alerts (id, channel, at, content) VALUES (?, ?, ?, ?)",
                (alert.id, channel, moment_text(alert.at), msgspec.json.encode(alert)),
            )

    def _state(self, rule: str, profile: str) -> RuleState:
        rows = self._history.execute("SELECT since FROM rule_states WHERE rule = ? AND profile = ?", (rule, profile))
        return RuleState(datetime.fromisoformat(rows[0][0]) if rows else None)

    def _keep(self, rule: str, profile: str, state: RuleState) -> None:
        self._history.execute("DELETE FROM rule_states WHERE rule = ? AND profile = ?", (rule, profile))
        if state.since is not None:
            self._history.execute("INSERT INTO rule_states VALUES (?, ?, ?)", (rule, profile, moment_text(state.since)))


def _ripe(not_before: str, now: datetime) -> bool:
    # Farther ahead than any wait: the clock was set back since.
    return not_before <= moment_text(now) or not_before > moment_text(now + _LONGEST_WAIT + _CLAIM)
