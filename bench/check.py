"""`make bench-check`: has a ratio become more than 15 % worse than the committed one?

    check.py [--results FILE] [--committed FILE]

Without --results everything is measured anew first, as `make bench` does; what it finds is then in build/bench.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from processes import BENCH, progress
from written import read_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from written import Ratio, Results

__all__ = ["main", "worse"]

_ALLOWED = 0.15


def worse(committed: Results, found: Results) -> Iterator[str]:
    """A sentence for each ratio that is missing, or more than 15 % worse than it was."""
    now = {(one.section, one.row, ratio.to): ratio for one in found.rows for ratio in one.ratios}
    for one in committed.rows:
        for before in one.ratios:
            name = f"{one.section}: {one.row}, beside {before.to}"
            after = now.get((one.section, one.row, before.to))
            if after is None:
                yield f"{name}: was {before.ratio:.3f}, and is missing"
            elif _worsened(before, after) > _ALLOWED:
                yield f"{name}: was {before.ratio:.3f}, is {after.ratio:.3f}, {_worsened(before, after):.0%} worse"


def _worsened(before: Ratio, after: Ratio) -> float:
    """A share of what it was; negative when it has become better."""
    change = after.ratio / before.ratio - 1
    return change if before.lower_is_better else -change


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
    for one in complaints:
        print(one)
    if complaints:
        progress(f"{len(complaints)} ratios are missing or more than {_ALLOWED:.0%} worse.")
        sys.exit(1)
    progress(f"No ratio is more than {_ALLOWED:.0%} worse.")


if __name__ == "__main__":
    main()
