"""Totals of one process, and how those of several are one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alikassa.server.metrics.families import FAMILIES, Together, Type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alikassa.ledger.counts import Spread
    from alikassa.server.metrics.families import Family

__all__ = ["Sample", "Totals", "add_up", "counted", "spread"]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A value of one family under these labels. A histogram's is its sum, with as many values in each bucket."""

    family: str
    labels: tuple[str, ...]
    value: int | float
    buckets: tuple[int, ...] = ()


class Totals(msgspec.Struct, frozen=True):
    """Of one process, and whether it still runs: gauges are those of processes that do."""

    samples: list[Sample]
    alive: bool = True


def counted(family: Family, value: float, *labels: str) -> Sample:
    """A counter's or a gauge's."""
    return Sample(family.name, labels, _whole_steps(value))


def spread(family: Family, found: Spread, *labels: str) -> Sample:
    """A histogram's."""
    return Sample(family.name, labels, _whole_steps(found.total), tuple(found.buckets))


def _whole_steps(value: float) -> float:
    """To the nearest 2**-20 (a microsecond): sums of such values are exact, in whatever order. Otherwise a total of
    seconds could fall by its last digit when a process ends and is added in another place, which Prometheus takes for
    a counter that began again."""
    return value if isinstance(value, int) else round(value * _STEPS) / _STEPS


def add_up(processes: Iterable[Totals]) -> list[Sample]:
    """One sample for each family and labels. What is no family of this version's is left out."""
    found: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for process in processes:
        for sample in process.samples:
            family = _BY_NAME.get(sample.family)
            if family is None or (family.type is Type.GAUGE and not process.alive):
                continue
            key = (sample.family, sample.labels)
            before = found.get(key)
            found[key] = sample if before is None else _two(family, before, sample)
    return list(found.values())


def _two(family: Family, one: Sample, other: Sample) -> Sample:
    if family.type is Type.GAUGE and family.together is Together.LATEST:
        return one if one.value >= other.value else other
    buckets = tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True))
    return Sample(one.family, one.labels, one.value + other.value, buckets)


_STEPS = 2**20
_BY_NAME = {family.name: family for family in FAMILIES}
