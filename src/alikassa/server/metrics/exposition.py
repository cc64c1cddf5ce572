"""Samples as Prometheus reads them."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from alikassa.server.metrics.families import FAMILIES, Type
from alikassa.server.metrics.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from alikassa.server.metrics.families import Family

__all__ = ["OPENMETRICS", "TEXT", "expose"]

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def expose(samples: Sequence[Sample], accept: str) -> tuple[bytes, str]:
    """The body and its content type: OpenMetrics for whoever accepts it, else the older text that everybody reads."""
    registry = CollectorRegistry()
    registry.register(_Collected(samples))
    kinds = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
    if OPENMETRICS.partition(";")[0] in kinds:
        body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # it has no types
        return body, OPENMETRICS
    return exposition.generate_latest(registry), TEXT


class _Collected(Collector):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._by_family: dict[str, dict[tuple[str, ...], Sample]] = {}
        for sample in samples:
            self._by_family.setdefault(sample.family, {})[sample.labels] = sample

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            found = self._by_family.get(family.name, {})
            # Shown before anything happens: a rate is not told from a counter that just appeared.
            first = {labels: Sample(family.name, labels, 0) for labels in family.known}
            yield _metric(family, (first | found).values())


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    if family.type is Type.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for sample in samples:
            histogram.add_metric(sample.labels, _bounded(family, sample), sample.value)
        return histogram
    kind = CounterMetricFamily if family.type is Type.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.text, labels=family.labels)
    for sample in samples:
        metric.add_metric(sample.labels, sample.value)
    return metric


def _bounded(family: Family, sample: Sample) -> list[tuple[str, float]]:
    """Bounds, and how many values are at most that: what lies below the first is in it, above the last in +Inf."""
    first, last = family.powers
    until = list(accumulate(sample.buckets)) or [0] * (last + 1)
    bounds = [(repr(2.0**power * family.unit), float(until[power])) for power in range(first, last + 1)]
    return [*bounds, ("+Inf", float(until[-1]))]
