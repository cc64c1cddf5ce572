"""What the exporter shows: gauges for Prometheus, and the exact amounts as JSON, which floats are not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from alikassa import clock
from alikassa.monitor.records import record
from alikassa.monitor.snapshots import Bucket, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import GaugeMetricFamily, Metric

    from alikassa.clock import Clock
    from alikassa.monitor.snapshots import Snapshot

__all__ = ["Latest"]

_ONE = ("profile", "account")


class Latest:
    """The last look, and the last answer, of each profile (`accounts`: profiles' accounts).

    It is a collector for prometheus-client, and asks nobody: a scrape shows what the last looks have found.
    """

    def __init__(self, accounts: Mapping[str, str], now: Clock = clock.now) -> None:
        self._accounts, self._now = dict(accounts), now
        self._seen: dict[str, Snapshot] = {}
        self._answered: dict[str, Snapshot] = {}
        self._failures: Counter[tuple[str, FailureKind]] = Counter()

    def begin(self, snapshot: Snapshot) -> None:
        """Show an answer of before this start, with its own time; whether there is one now, it does not say."""
        if snapshot.failure is None:
            self._answered[snapshot.profile] = snapshot

    def tell(self, snapshot: Snapshot) -> None:
        self._seen[snapshot.profile] = snapshot
        if snapshot.failure is None:
            self._answered[snapshot.profile] = snapshot
        else:
            self._failures[snapshot.profile, snapshot.failure.kind] += 1

    def metrics(self) -> bytes:
        """The text that Prometheus reads."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def balances(self) -> bytes:
        """JSON: for each profile its last answer with exact amounts, its age in seconds, and the failure since."""
        rows = []
        for profile, account in self._accounts.items():
            answered, seen = self._answered.get(profile), self._seen.get(profile)
            row: dict[str, object] = {"profile": profile, "account": account, "at": None, "age_seconds": None}
            if answered is not None:
                told = record(answered)
                row |= {name: told[name] for name in ("at", "currency", *map(str, Bucket))}
                row["age_seconds"] = round((self._now() - answered.at).total_seconds(), 3)
            failure = None if seen is None else seen.failure
            row["failure"] = None if failure is None else {"kind": failure.kind, "text": failure.text}
            rows.append(row)
        return msgspec.json.encode({"balances": rows})

    def collect(self) -> Iterator[Metric]:
        """The metrics. A balance that was never told has no line; an old one keeps its line, and its age tells."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        balance = GaugeMetricFamily(
            "alikassa_balance",
            "What the last answer told, rounded to a float; exact amounts are at /balances.json.",
            labels=(*_ONE, "currency", "bucket"),
        )
        up = GaugeMetricFamily("alikassa_up", "1 when the last look was answered, 0 when it failed.", labels=_ONE)
        success = GaugeMetricFamily(
            "alikassa_last_success_timestamp_seconds", "When the last answer came, in Unix time.", labels=_ONE
        )
        age = GaugeMetricFamily("alikassa_balance_age_seconds", "How old the last answer is.", labels=_ONE)
        took = GaugeMetricFamily("alikassa_request_seconds", "How long the last look took.", labels=_ONE)
        errors = CounterMetricFamily(
            "alikassa_errors", "Looks without an answer, by what went wrong.", labels=(*_ONE, "kind")
        )
        for profile, account in self._accounts.items():
            one = (profile, account)
            for kind in FailureKind:
                errors.add_metric((*one, kind), self._failures[profile, kind])
            if seen := self._seen.get(profile):
                up.add_metric(one, float(seen.failure is None))
                took.add_metric(one, seen.seconds)
            if answered := self._answered.get(profile):
                success.add_metric(one, answered.at.timestamp())
                age.add_metric(one, (self._now() - answered.at).total_seconds())
                _amounts(balance, one, answered)
        yield from (balance, up, success, age, took, errors)


def _amounts(balance: GaugeMetricFamily, one: tuple[str, str], answered: Snapshot) -> None:
    figures = answered.figures
    if figures is None:
        return
    for bucket in Bucket:
        amount = figures.of(bucket)
        if amount is not None:
            # A gauge is a float by Prometheus's format.
            balance.add_metric((*one, figures.currency, bucket), float(amount))
