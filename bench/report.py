"""The one table of a run, and what it was measured on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from results import Row, Section

__all__ = ["machine", "number", "print_report"]

_PACKAGES = ("granian", "uvicorn", "fastapi", "sqlalchemy", "asyncpg", "cryptography", "requests", "typer")
_WORDS = {True: "yes", False: "NO", None: ""}


def print_report(sections: Iterable[Section], facts: dict[str, str]) -> None:
    """Print to stdout."""
    sections = list(sections)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    for name, value in {**machine(), **facts}.items():
        console.print(f"{name + ':':<12} {value}", soft_wrap=True)
    console.print(_table(sections))
    comparisons = [one for section in sections for row in section.rows for one in row.comparisons if one.target]
    missed = [one for one in comparisons if not one.met]
    console.print(f"{len(comparisons) - len(missed)} of {len(comparisons)} targets are met.")
    for section in sections:
        for row in section.rows:
            for one in row.comparisons:
                if one.met is False:
                    console.print(f"MISSED: {row.name} is {one}, and the target is {one.target}.")


def machine() -> dict[str, str]:
    """What it runs on, and with which versions."""
    cpus = Path("/proc/cpuinfo")
    models = set(re.findall(r"^model name\s*: (.*)$", cpus.read_text(), re.MULTILINE)) if cpus.exists() else set()
    return {
        "Machine": f"{os.cpu_count()} CPUs, {', '.join(sorted(models)) or platform.machine()}; {_memory()}",
        "System": f"{platform.system()} {platform.release()}; SQLite {sqlite3.sqlite_version}",
        "Revision": _revision(),
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory"


def _revision() -> str:
    """Which of ours it is, and whether the files were changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return f"alikassa {version('alikassa')}, {told.stdout.strip() or 'not from a repository'}"


def _table(sections: Iterable[Section]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("median", "lowest - highest"):
        table.add_column(heading, justify="right")
    for heading in ("ratio", "target", "met"):
        table.add_column(heading)
    for section in sections:
        table.add_row(f"[bold]{section.heading}[/bold]")
        for row in section.rows:
            table.add_row(*_cells(row))
        table.add_section()
    return table


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"  {row.name}",
        number(row.median),
        f"{number(min(row.samples))} - {number(max(row.samples))}",
        "\n".join(map(str, row.comparisons)),
        "\n".join(str(one.target or "") for one in row.comparisons),
        "\n".join(_WORDS[one.met] for one in row.comparisons),
    )


def number(value: float) -> str:
    """Three digits or more."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
