"""What is asked about an account with a short and with a long year behind it, beside what a page may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results import Comparison, Row, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["compare_sizes"]

#: What a page of the cabinet may take.
_PAGE_MS = 150


def compare_sizes(name: str, samples: Mapping[int, list[float]]) -> tuple[Row, Row]:
    """Milliseconds by how many entries the account has, two numbers: a row each, the longer account's compared."""
    few, many = sorted(samples)
    short, long = (Row(f"{name}, {entries:,} entries", samples[entries]) for entries in (few, many))
    limit = Comparison(long.median / _PAGE_MS, f"{_PAGE_MS} ms", Target(1, below=True), travels=False)
    long.comparisons = (limit, long.over(short, to=f"{few:,} entries"))
    return short, long
