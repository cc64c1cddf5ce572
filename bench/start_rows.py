"""What it takes to start: importing the client, and asking once from a new process, command line included."""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from processes import BENCH, clean_environment, progress
from results import Row, Section, Target

import alikassa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client_rows import Options

__all__ = ["measure_starts"]

_TARGET = Target(1.3, below=True)
_OURS = "from alikassa import Client, AsyncClient"
_PARTS = "import httpx2, and cryptography's parts"
_NOTHING = "python -c pass"
_IMPORTS = {
    _OURS: "from alikassa import AsyncClient, Client",
    _PARTS: (
        "import httpx2; from cryptography.hazmat.primitives import hashes, serialization;"
        " from cryptography.hazmat.primitives.asymmetric import padding, rsa"
    ),
    _NOTHING: "pass",
}
_ONCE = "alikassa balance, once"
_PAGE_ONCE = "like the page's program, once"


def measure_starts(options: Options, balance: str, *, runs: int) -> Iterator[Section]:
    """Alternate runs, each a new process; in milliseconds."""
    compileall.compile_dir(Path(alikassa.__file__).parent, quiet=1)
    ours, parts, nothing = _alternate(
        {name: [sys.executable, "-c", code] for name, code in _IMPORTS.items()}, runs, expected=""
    )
    ours.comparisons = (ours.over(parts, _TARGET), ours.over(nothing))
    yield Section("Importing, milliseconds", (ours, parts, nothing), lower_is_better=True)
    command = [sys.executable, "-m", "alikassa", "balance", "--output", "json", "--base-url", options.base_url]
    command += ["--account", options.account, "--keys", options.keys, "--ca-bundle", options.ca]
    page = [sys.executable, str(BENCH / "page_client.py"), *options.arguments, "--once"]
    once, page_once = _alternate({_ONCE: command, _PAGE_ONCE: page}, runs, expected=balance)
    once.comparisons = (once.over(page_once, _TARGET),)
    yield Section("One balance from a new process, milliseconds (HTTPS)", (once, page_once), lower_is_better=True)


def _alternate(commands: dict[str, list[str]], runs: int, *, expected: str) -> list[Row]:
    samples: dict[str, list[float]] = {name: [] for name in commands}
    # The first of each, not counted, finds its files in memory.
    for number in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment()
            )
            took = (time.perf_counter() - start) * 1000
            if done.returncode or expected not in done.stdout:
                raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")
            if number:
                samples[name].append(took)
    rows = [Row(name, found) for name, found in samples.items()]
    progress(f"  {runs} runs each: " + ", ".join(f"{row.name} {row.median:.0f} ms" for row in rows))
    return rows
