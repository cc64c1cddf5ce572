"""Alerts that are due, and which rules' alerts are on: kept until told, across restarts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from alikassa.clock import moment_text
from alikassa.monitor.decisions import Alert, RuleState, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.monitor.history import History
    from alikassa.monitor.rules import Rules

__all__ = ["Due", "Outbox"]

_MOST_ATTEMPTS = 20
_MOST_AT_ONCE = 50


@dataclass(frozen=True)
class Due:
    """An alert for one channel, with how often it was tried."""

    alert: Alert
    channel: str
    attempts: int


class Outbox:
    """Decides on what the history holds. An alert and the state after it are written together: neither a kill nor a
    restart makes it fire twice. One that cannot be told is tried again at later looks, a bounded number of times."""

    def __init__(self, history: History, rules: Rules, channels: Sequence[str]) -> None:
        self._history, self._rules, self._channels = history, rules, channels

    def decide(self, profile: str, now: datetime) -> list[Alert]:
        """The alerts that are due after the latest look at a profile; they are in the outbox, too."""
        alerts: list[Alert] = []
        for rule in self._rules.of(profile):
            snapshots = self._history.recent(profile, now - rule.window)
            with self._history.transaction():
                alert, state = decide(rule, snapshots, self._state(rule.name, profile), now)
                if alert is None:
                    continue
                self._keep(rule.name, profile, state)
                for channel in self._channels:
                    self._history.execute(
                        "INSERT OR IGNORE INTO alerts (id, channel, at, content) VALUES (?, ?, ?, ?)",
                        (alert.id, channel, moment_text(alert.at), msgspec.json.encode(alert)),
                    )
            alerts.append(alert)
        return alerts

    def due(self) -> list[Due]:
        """What is still to be told, the oldest first."""
        rows = self._history.execute(
            "SELECT content, channel, attempts FROM alerts WHERE delivered IS NULL AND attempts < ?"
            " ORDER BY at LIMIT ?",
            (_MOST_ATTEMPTS, _MOST_AT_ONCE),
        )
        return [
            Due(msgspec.json.decode(content, type=Alert), channel, attempts)
            for content, channel, attempts in rows
            if channel in self._channels
        ]

    def tried(self, due: Due, now: datetime, *, delivered: bool) -> None:
        """Write down how a delivery went."""
        self._history.execute(
            "UPDATE alerts SET attempts = attempts + 1, delivered = ? WHERE id = ? AND channel = ?",
            (moment_text(now) if delivered else None, due.alert.id, due.channel),
        )

    def _state(self, rule: str, profile: str) -> RuleState:
        rows = self._history.execute("SELECT since FROM rule_states WHERE rule = ? AND profile = ?", (rule, profile))
        return RuleState(datetime.fromisoformat(rows[0][0]) if rows else None)

    def _keep(self, rule: str, profile: str, state: RuleState) -> None:
        self._history.execute("DELETE FROM rule_states WHERE rule = ? AND profile = ?", (rule, profile))
        if state.since is not None:
            self._history.execute("INSERT INTO rule_states VALUES (?, ?, ?)", (rule, profile, moment_text(state.since)))
