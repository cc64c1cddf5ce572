"""What became of one worker's requests. Knows no account, no certificate, no address."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from alikassa.ledger.counts import Spread
from alikassa.server.metrics import families
from alikassa.server.metrics.samples import counted, spread
from alikassa.server.requests.kept import Outcome

if TYPE_CHECKING:
    from alikassa.server.metrics.samples import Sample

__all__ = ["RequestCounts"]


class RequestCounts:
    """Since the worker began. `answered` is the spread of the answered ones' times, for the quick path to count in:
    how many those are, its buckets tell."""

    def __init__(self) -> None:
        self._seconds = {outcome: Spread() for outcome in Outcome}
        self.answered = self._seconds[Outcome.OK]
        self._reasons: Counter[tuple[Outcome, str]] = Counter()
        self._causes: Counter[str] = Counter()
        self.gone = 0
        self.lost = 0
        self.limits_uncounted = 0

    def ended(self, outcome: Outcome, reason: str, begun: float) -> None:
        """A request that began then, by the monotonic clock. `reason` as in the log of requests."""
        self._seconds[outcome].add_seconds(time.monotonic() - begun)
        if outcome is not Outcome.OK:
            self._reasons[outcome, families.REASONS.get(reason, families.OTHER)] += 1

    def refused(self, begun: float) -> None:
        """Refused at its signature."""
        self._seconds[Outcome.REFUSED].add_seconds(time.monotonic() - begun)
        self._reasons[Outcome.REFUSED, families.SIGNATURE] += 1

    def cause(self, reason: str) -> None:
        """Why one was refused at its signature; "" when that will not be found out."""
        self._causes[reason or families.NOT_WORKED_OUT] += 1

    def samples(self, *, not_told: int = 0) -> list[Sample]:
        """`not_told`: requests that are lost, and not in `lost` yet."""
        return [
            counted(families.REQUESTS, self.answered.count, Outcome.OK.value, ""),
            *(counted(families.REQUESTS, n, outcome.value, reason) for (outcome, reason), n in self._reasons.items()),
            *(counted(families.CAUSES, n, cause) for cause, n in self._causes.items()),
            *(spread(families.DURATION, found, outcome.value) for outcome, found in self._seconds.items()),
            counted(families.GONE, self.gone),
            counted(families.LOST, self.lost + not_told),
            counted(families.LIMITS_UNCOUNTED, self.limits_uncounted),
        ]
