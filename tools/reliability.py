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
    ("sqlite", "slow"): "another program held the write lock for 16 s",
    ("sqlite", "silent"): "- a file has no line to fall silent",
    ("sqlite", "away"): "the file was moved away and back",
    ("sqlite", "read_only"): "the files were made immutable, and who had them open was killed",
    ("sqlite", "full"): "its file system was filled",
    ("sqlite", "killed"): "the processes that read and book were killed with SIGKILL, inside a transaction",
    ("sqlite", "switched"): "there is no second server; a copy was put in its place",
    ("postgresql", "slow"): "each answer of the database came 0.3 s late",
    ("postgresql", "silent"): "from a commit on the line carried nothing for 50 s, and did not break",
    ("postgresql", "away"): "stopped in immediate mode, and started",
    ("postgresql", "read_only"): "default_transaction_read_only for all",
    ("postgresql", "full"): "the file system of its tables was filled",
    ("postgresql", "killed"): "cut before a commit arrived, and after it was done; backends ended",
    ("postgresql", "switched"): "killed, and its synchronous standby promoted after 5 s",
}


def rows(folder: Path) -> list[str]:
    """The table's lines. FileNotFoundError for a cell that was not run."""
    found = []
    for (engine, fault), done in DONE.items():
        for kind in KINDS:
            start = f"| {ENGINES[engine]} | {fault.replace('_', '-')}: {done.removeprefix('- ')} | {kind} |"
            if done.startswith("- "):
                found.append(f"{start} does not apply | | | | |")
                continue
            cell = json.loads((folder / f"{engine}.{fault}.{kind}.json").read_text())
            up = " or ".join(sorted(cell["up_during"].keys() - {"none"}))
            found.append(
                f"{start} {_counts(cell['statuses'])} | {cell['longest']:.2f} s | {cell['recovered']:.2f} s |"
                f" {_counts(cell['ready_during'])} | {up} | {_outcome(cell, kind)} |"
            )
    return found


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))


def _outcome(cell: dict[str, Any], kind: str) -> str:
    if cell["wrong"]:
        return "; ".join(cell["wrong"])
    if kind == "read":
        return "every 200 was true"
    more = {
        "unanswered": "under way when it began and never answered",
        "cut_after_commit": "connections cut after their commit",
        "found_booked": "found booked when repeated",
    }
    told = [f"; {cell[name]} {text}" for name, text in more.items() if cell[name]]
    return f"booked once each, none lost{''.join(told)}"


def _facts(folder: Path) -> str:
    engines = ", ".join((folder / f"{engine}.version").read_text() for engine in ENGINES)
    return (
        f"On {datetime.now(UTC):%Y-%m-%d}: alikassa {version('alikassa')}, Python {platform.python_version()},"
        f" {engines}; {os.cpu_count()} CPUs, {platform.system()} {platform.release()}.\n\n"
        "Two clients ask for balances and three send commands, each one after the other, before, during and after\n"
        "each fault, which lasts at least 5 s. Answers are counted from its beginning until all is well. Every 200 is\n"
        "compared with what was true between its request and its answer; afterwards the journal is compared with\n"
        "what was acknowledged, and the books are verified.\n\n"
        "*readyz meanwhile* and *up* (what the metrics said: `alikassa_database_up`) count while the fault is surely\n"
        "there: readiness from half a second after its beginning, since what was found is told for 0.2 s, and on a\n"
        "full disk from the first command that met it. The requests of that time are answered accordingly. Before\n"
        "the fault and once all is well both are always 200, and *up* is 1; then the metrics have counted exactly\n"
        "what was answered, but for the last second of a process that was killed.\n\n"
        "*Slow* on SQLite is the write lock, the one thing there that makes a program wait for another. Whoever reads\n"
        "waits for no lock: what the row of reads shows is that nothing becomes slow. A slow disk was not tried.\n"
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
        "| engine | fault | during | answers | longest | well again after | readyz meanwhile | up | outcome |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{facts}\n{head}" + "\n".join(table) + f"\n\n{end}{after}")


if __name__ == "__main__":
    main()
