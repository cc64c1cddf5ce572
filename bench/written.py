"""What a run leaves behind: RESULTS.md for people, results.json for `make bench-check` and the capacity model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from report import machine, number

from alikassa import clock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from results import Comparison, Section

__all__ = ["Ratio", "Results", "Written", "read_results", "write_results"]

_NAME = "results.json"
_TWICE = 2


class Ratio(msgspec.Struct, frozen=True):
    """A row over another: the median of the rounds of one run. With a `limit`, that is what it is held to, and not to
    what it was: it differs by more from run to run than a comparison allows."""

    to: str
    ratio: float
    lower_is_better: bool
    limit: float | None = None


class Written(msgspec.Struct, frozen=True):
    """A row, in its section's unit. `part`: what measures it again, as `run.py --only PART`."""

    section: str
    row: str
    median: float
    lowest: float
    highest: float
    ratios: tuple[Ratio, ...] = ()
    part: str = ""


class Results(msgspec.Struct, frozen=True):
    """A run: when (UTC), on what, and its rows."""

    made: str
    facts: dict[str, str]
    rows: tuple[Written, ...]

    def find(self, section: str, row: str) -> Written:
        """The row of that name in the first section whose heading begins so. KeyError."""
        for one in self.rows:
            if one.section.startswith(section) and one.row == row:
                return one
        raise KeyError(f"no row {row!r} under {section!r} in the results")


def read_results(file: Path) -> Results:
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write_results(folder: Path, sections: Iterable[Section], facts: dict[str, str]) -> None:
    """Both files. The folder is made if it is not there."""
    sections = list(sections)
    found = Results(
        f"{clock.now():%Y-%m-%d %H:%M} UTC",
        {**machine(), **facts},
        tuple(
            Written(
                section.heading,
                row.name,
                row.median,
                min(row.samples),
                max(row.samples),
                tuple(_ratio(one, section) for one in row.comparisons if one.travels),
                section.part,
            )
            for section in sections
            for row in section.rows
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _NAME).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    (folder / "RESULTS.md").write_text("\n".join(_page(found, sections)) + "\n")


def _ratio(one: Comparison, section: Section) -> Ratio:
    return Ratio(one.to, one.ratio, section.lower_is_better, None if one.steady else _limit(one, section))


def _limit(one: Comparison, section: Section) -> float | None:
    """The target; where that was missed, it must not become twice as bad."""
    if one.target is None or one.met:
        return None if one.target is None else one.target.bound
    return one.ratio * _TWICE if section.lower_is_better else one.ratio / _TWICE


def _page(found: Results, sections: Iterable[Section]) -> Iterable[str]:
    yield "# Results"
    yield ""
    yield "Written by `make bench`; how to read it: [README.md](README.md). Ratios travel between machines better than"
    yield "the numbers beside them. `make bench-check` measures again and compares the ratios."
    yield ""
    for name, value in {"Made": found.made, **found.facts}.items():
        yield f"- **{name}**: {value}"
    for section in sections:
        better = "lower" if section.lower_is_better else "higher"
        yield from ("", f"## {section.heading}", "", f"Medians; {better} is better.", "")
        yield "| | median | lowest - highest | ratio | target | met |"
        yield "|---|---:|---:|---|---|---|"
        for row in section.rows:
            spread = f"{number(min(row.samples))} - {number(max(row.samples))}"
            ratios = "<br>".join(map(str, row.comparisons))
            targets = ", ".join(str(one.target).replace("<", "&lt;") for one in row.comparisons if one.target)
            met = ", ".join("yes" if one.met else "**no**" for one in row.comparisons if one.target)
            yield f"| {row.name} | {number(row.median)} | {spread} | {ratios} | {targets} | {met} |"
