"""`make bench-check`: has a ratio become more than 15 % worse than the committed one?

A busy machine moves a ratio by as much. So what is worse is measured again, twice at most, with the part that it is of:
it fails when it is more than 15 % worse each time. A ratio that has a limit, since it differs by more from run to run,
fails when it is beyond that each time.

    check.py [--results FILE ...] [--committed FILE]

With --results these runs are compared, and nothing is measured. What is measured here is then in build/bench.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from processes import BENCH, progress
from report import machine
from results import Target
from written import read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from written import Ratio, Results

__all__ = ["Complaint", "main", "measured_until_sure", "worse"]

_ALLOWED = 0.15
_MOST_RUNS = 3
_MACHINE = "Machine"


class Complaint(NamedTuple):
    """What is missing or worse, and the part that measures it, "" if that is not known."""

    text: str
    part: str


def worse(committed: Results, runs: Sequence[Results]) -> Iterator[Complaint]:
    """Of each ratio that is in no run, or worse than it may be in each that has it."""
    for one in committed.rows:
        for before in one.ratios:
            name = f"{one.section}: {one.row}, beside {before.to}"
            found = [after for run in runs if (after := _find(run, one.section, one.row, before.to)) is not None]
            if not found:
                yield Complaint(f"{name}: was {before.ratio:.3f}, and is missing", "")
                continue
            ratio, part = (min if before.lower_is_better else max)(found)
            times = f" at best of {len(found)} times" if len(found) > 1 else ""
            if wrong := _wrong(before, ratio):
                yield Complaint(f"{name}: was {before.ratio:.3f}, is {ratio:.3f}{times}, {wrong}", part)


def _find(run: Results, section: str, row: str, to: str) -> tuple[float, str] | None:
    """The ratio, and the part it is of."""
    for one in run.rows:
        if (one.section, one.row) == (section, row):
            for ratio in one.ratios:
                if ratio.to == to:
                    return ratio.ratio, one.part
    return None


def _wrong(before: Ratio, after: float) -> str:
    """Why it is not good enough; "" when it is."""
    if before.limit is not None:
        within = Target(before.limit, below=before.lower_is_better)
        return "" if within.is_met_by(after) else f"and has to be {within}"
    change = after / before.ratio - 1
    worsened = change if before.lower_is_better else -change
    return f"{worsened:.0%} worse" if worsened > _ALLOWED else ""


def measured_until_sure(committed: Results, measure: Callable[[Sequence[str]], Results]) -> list[Results]:
    """A whole run (`measure` of no parts), and again what was worse in all before it."""
    runs = [measure(())]
    while len(runs) < _MOST_RUNS:
        complaints = list(worse(committed, runs))
        parts = sorted({one.part for one in complaints} - {""})
        if not parts:
            break
        for one in complaints:
            progress(one.text)
        progress(f"Measured again: {', '.join(parts)}")
        runs.append(measure(parts))
    return runs


def _measure(parts: Sequence[str]) -> Results:
    folder = BENCH.parent / "build" / "bench"
    only = ["--only", *parts] if parts else []
    subprocess.run([sys.executable, str(BENCH / "run.py"), "--output", str(folder), *only], check=True)
    return read_results(folder / "results.json")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the ratios of a run with the committed ones.")
    parser.add_argument("--results", type=Path, nargs="+", help="results.json of runs, instead of new ones")
    parser.add_argument("--committed", type=Path, default=BENCH / "results.json")
    options = parser.parse_args()
    if not options.committed.exists():
        sys.exit(f"There is nothing to compare with: {options.committed} is not there. `make bench` writes it.")
    committed = read_results(options.committed)
    given = [read_results(one) for one in options.results or ()]
    there, here = committed.facts[_MACHINE], (given[0].facts if given else machine())[_MACHINE]
    if there != here:
        progress(f"The committed ratios are of another machine ({there}), and may be others on this one ({here})")
        progress("without anything being worse: `make bench` makes them anew.")
    runs = given or measured_until_sure(committed, _measure)
    complaints = list(worse(committed, runs))
    for one in complaints:
        print(one.text)
    if complaints:
        progress(f"{len(complaints)} ratios are missing, more than {_ALLOWED:.0%} worse, or beyond their limit.")
        sys.exit(1)
    progress(f"No ratio is more than {_ALLOWED:.0%} worse or beyond its limit.")


if __name__ == "__main__":
    main()
