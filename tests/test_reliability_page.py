"""docs/reliability.md has an outcome for every fault that the tests know, and tells what they hold it to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reliability import BEGIN, DONE, END, ENGINES, KINDS, PAGE, rows

from long.faults.made import FAULTS
from long.faults.promised import LASTS, PROMISED, SLACK_SECONDS


def cells_of_the_page() -> dict[tuple[str, str, str], list[str]]:
    """By engine, fault and kind: the other columns."""
    seen = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line.split(" | ") for line in seen.splitlines() if line.startswith("| ") and "engine" not in line]
    cells = {(line[0], line[1].partition(":")[0], line[2]): line[3:] for line in lines}
    assert len(cells) == len(lines)
    return cells


def test_every_cell_has_its_outcome() -> None:
    """Engine by fault, during reads and postings: one line each, with its answers, and nothing wrong in it."""
    cells = cells_of_the_page()
    wanted = [(engine, fault) for engine in ENGINES for fault in FAULTS]
    assert sorted(DONE) == sorted(wanted)
    assert len(cells) == len(wanted) * len(KINDS)
    for engine, fault in wanted:
        for kind in KINDS:
            answers, *_, outcome = cells[f"| {ENGINES[engine]}", fault.replace("_", "-"), kind]
            if DONE[engine, fault].startswith("- "):
                assert answers == "does not apply"
                continue
            assert "503" in answers or "200" in answers
            assert outcome.startswith({"read": "every 200 was true", "posting": "booked once each, none lost"}[kind])


def test_what_was_seen_is_what_the_tests_hold_it_to() -> None:
    """Readiness, whether the database was up, and how long anybody waited, in every cell; and how long a fault lasted
    that lasts longer than others."""
    cells = cells_of_the_page()
    for (engine, fault), promised in PROMISED.items():
        for kind, may, most in (
            ("read", promised.reads, promised.longest_read),
            ("posting", promised.posts, promised.longest_post),
        ):
            _, longest, _, ready, up, _ = cells[f"| {ENGINES[engine]}", fault.replace("_", "-"), kind]
            assert set(re.sub(r"\d+ x ", "", ready).split(", ")) <= may
            assert set(up.split(" or ")) <= promised.up
            assert float(longest.removesuffix(" s")) <= most + SLACK_SECONDS
    told = {cell: float(found[1]) for cell, text in DONE.items() if (found := re.search(r"for (\d+) s", text))}
    assert told == {cell: LASTS[cell] for cell in told}
    assert len(told) == 2


def test_the_bounds_are_those_of_the_page() -> None:
    """What a command may take altogether on either engine, and a read, stand in the page's table."""
    table = PAGE.read_text().partition("## How long anybody waits")[2].partition("##")[0]
    for pattern, most in (
        (r"a balance read, .* \| (\d+) s", max(one.longest_read for one in PROMISED.values())),
        (r"a command altogether, behind .* \| (\d+) s", PROMISED["sqlite", "slow"].longest_post),
        (r"a command altogether, while .* \| (\d+) s", PROMISED["postgresql", "silent"].longest_post),
    ):
        found = re.search(pattern, table)
        assert found is not None, pattern
        assert float(found[1]) == most


def test_a_cell_that_was_not_run_is_missed(tmp_path: Path) -> None:
    """Nothing is written from half a run."""
    with pytest.raises(FileNotFoundError, match=r"sqlite\.slow\.read"):
        rows(tmp_path)
