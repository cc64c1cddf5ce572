"""docs/reliability.md has an outcome for every fault that the tests know."""

from __future__ import annotations

from pathlib import Path

import pytest
from reliability import BEGIN, DONE, END, ENGINES, KINDS, PAGE, rows

from long.faults.made import FAULTS


def test_every_cell_has_its_outcome() -> None:
    """Engine by fault, during reads and postings: one line each, with its answers, and nothing wrong in it."""
    seen = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line.split(" | ") for line in seen.splitlines() if line.startswith("| ") and "engine" not in line]
    wanted = [(engine, fault) for engine in ENGINES for fault in FAULTS]
    assert sorted(DONE) == sorted(wanted)
    cells = {(line[0], line[1].partition(":")[0], line[2]): line[3:] for line in lines}
    assert len(cells) == len(lines) == len(wanted) * len(KINDS)
    for engine, fault in wanted:
        for kind in KINDS:
            answers, *_, outcome = cells[f"| {ENGINES[engine]}", fault.replace("_", "-"), kind]
            if DONE[engine, fault].startswith("- "):
                assert answers == "does not apply"
                continue
            assert "503" in answers or "200" in answers
            assert outcome.startswith({"read": "every 200 was true", "posting": "booked once each, none lost"}[kind])


def test_a_cell_that_was_not_run_is_missed(tmp_path: Path) -> None:
    """Nothing is written from half a run."""
    with pytest.raises(FileNotFoundError, match=r"sqlite\.slow\.read"):
        rows(tmp_path)
