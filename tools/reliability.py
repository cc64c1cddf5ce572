"""Writes what became of requests during faults into docs/reliability.md.

    python tools/reliability.py FOLDER

FOLDER has what `tests/long/test_faults.py` left there, a file a cell. Exit code 1 when a cell is missing: then nothing
is written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- seen: written by `make reliability` -->\n", "<!-- /seen -->"

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
KINDS = ("read", "posting")

#: What was done, by engine and fault. "-" and why, for what there is not.
DONE = {
    ("sqlite", "slow"): "another program held the write lock for 8 s",
    ("sqlite", "silent"): "- a file has no line to fall silent",
    ("sqlite", "away"): "the file was moved away and back",
    ("sqlite", "read_only"): "the files were made immutable, and who had them open was killed",
    ("sqlite", "full"): "its file system was filled",
    ("sqlite", "killed"): "the processes that read and book were killed with SIGKILL",
    ("sqlite", "switched"): "there is no second server; a copy was put in its place",
    ("postgresql", "slow"): "each answer of the database came 0.3 s late",
    ("postgresql", "silent"): "the line carried nothing for 10 s, and did not break",
    ("postgresql", "away"): "stopped in immediate mode, and started",
    ("postgresql", "read_only"): "default_transaction_read_only for all",
    ("postgresql", "full"): "the file system of its tables was filled",
    ("postgresql", "killed"): "cut before a commit arrived, and after it was done; backends ended",
    ("postgresql", "switched"): "killed, and its synchronous standby promoted after 4 s",
}


def rows(folder: Path) -> list[str]:
    """The table's lines. FileNotFoundError for a cell that was not run."""
    found = []
    for (engine, fault), done in DONE.items():
        for kind in KINDS:
            start = f"| {ENGINES[engine]} | {fault.replace('_', '-')}: {done.removeprefix('- ')} | {kind} |"
            if done.startswith("- "):
                found.append(f"{start} does not apply | | | |")
                continue
            cell = json.loads((folder / f"{engine}.{fault}.{kind}.json").read_text())
            found.append(
                f"{start} {_counts(cell['statuses'])} | {cell['longest']:.2f} s | {cell['recovered']:.2f} s |"
                f" {_counts(cell['ready_during'])} | {_outcome(cell, kind)} |"
            )
    return found


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))


def _outcome(cell: dict[str, Any], kind: str) -> str:
    if cell["wrong"]:
        return "; ".join(cell["wrong"])
    if kind == "read":
        return "every 200 was true"
    found = f"; {cell['found_booked']} found booked when repeated" if cell["found_booked"] else ""
    return f"booked once each, none lost{found}"


def _facts(folder: Path) -> str:
    engines = ", ".join((folder / f"{engine}.version").read_text() for engine in ENGINES)
    return (
        f"On {datetime.now(UTC):%Y-%m-%d}: alikassa {version('alikassa')}, Python {platform.python_version()},"
        f" {engines}; {os.cpu_count()} CPUs, {platform.system()} {platform.release()}.\n\n"
        "Two clients ask for balances and one sends commands, one after the other, before, during and after each\n"
        "fault, which lasts at least 4 s. Counted is from its beginning until all is well. Every 200 is compared with\n"
        "what was true between its request and its answer; afterwards the journal is compared with what was\n"
        "acknowledged, and the books are verified.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        table = rows(folder)
        facts = _facts(folder)
    except FileNotFoundError as error:
        sys.exit(f"Not all faults were tried: {error.filename} is missing. Skipped tests say why.")
    head = (
        "| engine | fault | during | answers | longest | well again after | readyz meanwhile | outcome |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{facts}\n{head}" + "\n".join(table) + f"\n\n{end}{after}")


if __name__ == "__main__":
    main()
