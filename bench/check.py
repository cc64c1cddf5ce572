"""`make bench-check`: has a ratio become more than 15 % worse than the committed one?

A ratio is of medians. Where it is worse, but one of the rounds reached the committed ratio all the same, the machine
may have been busy in the others: that is told, and does not fail.

    check.py [--results FILE] [--committed FILE]

Without --results everything is measured anew first, as `make bench` does; what it finds is then in build/bench.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from processes import BENCH, progress
from written import read_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from written import Ratio, Results, Written

__all__ = ["Complaint", "main", "worse"]

_ALLOWED = 0.15


class Complaint(NamedTuple):
    """What is worse; not `certain` when a round was as good as before."""

    text: str
    certain: bool


def worse(committed: Results, found: Results) -> Iterator[Complaint]:
    """Of each ratio that is missing, or more than 15 % worse than it was."""
    now = {(one.section, one.row, ratio.to): (one, ratio) for one in found.rows for ratio in one.ratios}
    for one in committed.rows:
        for before in one.ratios:
            name = f"{one.section}: {one.row}, beside {before.to}"
            row, after = now.get((one.section, one.row, before.to), (None, None))
            if row is None or after is None:
                yield Complaint(f"{name}: was {before.ratio:.3f}, and is missing", certain=True)
            elif (change := _worsened(before, after.ratio)) > _ALLOWED:
                was = f"{name}: was {before.ratio:.3f}, is {after.ratio:.3f}, {change:.0%} worse"
                yield Complaint(was, certain=_worsened(before, _best(row, after)) > 0)


def _worsened(before: Ratio, after: float) -> float:
    """A share of what it was; negative when it has become better."""
    change = after / before.ratio - 1
    return change if before.lower_is_better else -change


def _best(row: Written, ratio: Ratio) -> float:
    """The ratio of its best round."""
    return ratio.ratio * (row.lowest if ratio.lower_is_better else row.highest) / row.median


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the ratios of a run with the committed ones.")
    parser.add_argument("--results", type=Path, help="results.json of a run, instead of a new one")
    parser.add_argument("--committed", type=Path, default=BENCH / "results.json")
    options = parser.parse_args()
    if not options.committed.exists():
        sys.exit(f"There is nothing to compare with: {options.committed} is not there. `make bench` writes it.")
    found = options.results
    if found is None:
        folder = BENCH.parent / "build" / "bench"
        found = folder / "results.json"
        subprocess.run([sys.executable, str(BENCH / "run.py"), "--output", str(folder)], check=True)
    complaints = list(worse(read_results(options.committed), read_results(found)))
    certain = [one for one in complaints if one.certain]
    for one in certain:
        print(one.text)
    for one in complaints:
        if not one.certain:
            print(f"{one.text}, though not in each round: run it again on a quieter machine")
    if certain:
        progress(f"{len(certain)} ratios are missing or more than {_ALLOWED:.0%} worse.")
        sys.exit(1)
    progress(f"No ratio is more than {_ALLOWED:.0%} worse in each round.")


if __name__ == "__main__":
    main()
