"""Ratios that have become worse are found, in either direction, and what a run leaves behind can be read again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from check import measured_until_sure, worse
from results import Comparison, Row, Section, Target
from written import Results, read_results, write_results

CHECK = Path(__file__).parent.parent / "bench" / "check.py"


def write(folder: Path, rate: float, wait: float, *, steady: bool = True) -> Path:
    """A run in which ours has `rate` times and `wait` times the yardstick's."""
    sections = []
    for heading, ratio, below in (("Requests/s", rate, False), ("Waits, ms", wait, True)):
        ours, bare = Row("ours", [ratio * 100 * (1 + part) for part in (-0.1, 0, 0.1)]), Row("bare", [100] * 3)
        # A fixed time is no yardstick on another machine: it is not compared.
        fixed = Comparison(ratio, "150 ms", travels=False)
        ours.comparisons = (ours.over(bare, Target(0.5, below=below), steady=steady), fixed)
        sections.append(Section(heading, (ours, bare), below, part="waiting" if below else "asking"))
    write_results(folder, sections, {"Load": "none"})
    return folder / "results.json"


def check(committed: Path, *found: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), "--committed", str(committed), "--results", *map(str, found)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_ratio_is_of_the_rounds() -> None:
    """A machine that becomes slower from round to round changes no ratio, and one odd round little."""
    ours, bare = Row("ours", [60, 50, 40, 10, 20]), Row("bare", [100, 83, 67, 99, 40])
    assert str(ours.over(bare, to="the other")) == "0.59 x the other"
    with pytest.raises(ValueError, match="shorter"):
        ours.over(Row("bare", [100]))


@pytest.mark.parametrize(
    ("rate", "wait", "complaint"),
    [
        (0.86, 1.0, ""),
        (1.0, 1.14, ""),
        (1.5, 0.5, ""),
        (0.84, 1.0, "Requests/s: ours, beside bare: was 1.000, is 0.840, 16% worse\n"),
        (1.0, 1.16, "Waits, ms: ours, beside bare: was 1.000, is 1.160, 16% worse\n"),
    ],
)
def test_more_than_fifteen_percent_worse_fails(tmp_path: Path, rate: float, wait: float, complaint: str) -> None:
    """16 % fail and 14 % do not: of a rate when it falls, of a wait when it grows."""
    done = check(write(tmp_path / "committed", 1, 1), write(tmp_path / "found", rate, wait))
    assert (done.returncode, done.stdout) == (1 if complaint else 0, complaint), done.stderr


@pytest.mark.parametrize(
    ("waits", "left"), [([1.1], 0), ([1.3, 1.1], 0), ([1.3, 1.3, 1.1], 0), ([1.3, 1.3, 1.3], 1)], ids=str
)
def test_what_is_worse_is_measured_again_and_fails_when_it_stays_so(
    tmp_path: Path, waits: list[float], left: int
) -> None:
    """At most twice, and only the part that it is of. One run that is as good as before is enough."""
    committed = read_results(write(tmp_path / "committed", 1, 1))
    runs = [read_results(write(tmp_path / str(number), 1, wait)) for number, wait in enumerate(waits)]
    given, asked = iter(runs), []

    def measure(parts: Sequence[str]) -> Results:
        asked.append(tuple(parts))
        return next(given)

    assert measured_until_sure(committed, measure) == runs
    assert asked == [(), ("waiting",), ("waiting",)][: len(runs)]
    assert len(list(worse(committed, runs))) == left


def test_runs_that_have_been_are_compared_together(tmp_path: Path) -> None:
    """What is worse in one of them only is not certain; the best is told of what is worse in all."""
    committed = write(tmp_path / "committed", 1, 1)
    runs = [write(tmp_path / "first", 0.8, 1.3), write(tmp_path / "second", 1, 1.2)]
    done = check(committed, *runs)
    complaint = "Waits, ms: ours, beside bare: was 1.000, is 1.200 at best of 2 times, 20% worse\n"
    assert (done.returncode, done.stdout) == (1, complaint), done.stderr


@pytest.mark.parametrize(
    ("rate", "wait", "complaint"),
    [
        (0.5, 0.49, ""),
        (0.49, 0.1, "Requests/s: ours, beside bare: was 2.000, is 0.490, and has to be >= 0.5\n"),
        (2, 0.5, "Waits, ms: ours, beside bare: was 0.100, is 0.500, and has to be < 0.5\n"),
    ],
)
def test_what_differs_from_run_to_run_has_to_keep_its_target(
    tmp_path: Path, rate: float, wait: float, complaint: str
) -> None:
    """Five times what it was is no complaint, as long as the target is met."""
    done = check(write(tmp_path / "committed", 2, 0.1, steady=False), write(tmp_path / "found", rate, wait))
    assert (done.returncode, done.stdout) == (1 if complaint else 0, complaint), done.stderr


def test_a_target_that_was_missed_is_not_asked_for(tmp_path: Path) -> None:
    """What it was is then what counts, twice over."""
    committed = write(tmp_path / "committed", 0.4, 0.6, steady=False)
    assert check(committed, write(tmp_path / "well", 0.21, 1.19)).returncode == 0
    done = check(committed, write(tmp_path / "bad", 0.19, 1.21))
    assert done.stdout.splitlines() == [
        "Requests/s: ours, beside bare: was 0.400, is 0.190, and has to be >= 0.2",
        "Waits, ms: ours, beside bare: was 0.600, is 1.210, and has to be < 1.2",
    ]


def test_another_machine_is_told_of(tmp_path: Path) -> None:
    """Its ratios may differ without anything being worse."""
    committed, found = write(tmp_path / "committed", 1, 1), write(tmp_path / "found", 1, 1)
    assert "machine" not in check(committed, found).stderr
    other = read_results(found)
    other = msgspec.structs.replace(other, facts={**other.facts, "Machine": "a faster one"})
    (tmp_path / "other.json").write_bytes(msgspec.json.encode(other))
    done = check(committed, tmp_path / "other.json")
    assert done.returncode == 0
    assert "another machine" in done.stderr
    assert "a faster one" in done.stderr


def test_a_missing_row_fails(tmp_path: Path) -> None:
    """What is no longer measured is not taken for good."""
    committed = write(tmp_path / "committed", 1, 1)
    found = read_results(write(tmp_path / "found", 1, 1))
    fewer = msgspec.structs.replace(found, rows=found.rows[2:])
    (tmp_path / "fewer.json").write_bytes(msgspec.json.encode(fewer))
    done = check(committed, tmp_path / "fewer.json")
    assert (done.returncode, done.stdout) == (1, "Requests/s: ours, beside bare: was 1.000, and is missing\n")


def test_nothing_to_compare_with_is_said(tmp_path: Path) -> None:
    """Before the first run there is no result, and that is no success."""
    done = check(tmp_path / "none.json", tmp_path / "none.json")
    assert done.returncode == 1
    assert "`make bench` writes it" in done.stderr


def test_the_page_and_the_file_tell_the_same(tmp_path: Path) -> None:
    """Machine, versions, revision and date; each row with its spread, ratio, target, and whether that is met."""
    found: Results = read_results(write(tmp_path, 2, 2))
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| ours | 200 | 180 - 220 | 2.00 x bare<br>2.00 x 150 ms | >= 0.5 | yes |" in page
    assert "| ours | 200 | 180 - 220 | 2.00 x bare<br>2.00 x 150 ms | &lt; 0.5 | **no** |" in page
    for fact in ("Machine", "System", "Revision", "Python", "Packages", "Load"):
        assert f"- **{fact}**: {found.facts[fact]}\n" in page
    assert f"- **Made**: {found.made}\n" in page
    assert found.find("Waits", "ours").median == 200
