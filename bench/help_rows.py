"""How long `alikassa --help` takes, beside the same Typer tree with empty commands."""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from pathlib import Path

from empty_tree import write_empty_tree
from processes import clean_environment, progress
from results import Row, Section, Target

import alikassa

__all__ = ["measure_help"]

_TARGET = Target(1.3, below=True)


def measure_help(folder: Path, *, runs: int) -> Section:
    """Alternate runs of both, each a new process; in milliseconds. AssertionError when they print different texts."""
    package = Path(alikassa.__file__).parent
    empty = folder / "empty"
    write_empty_tree(package, empty / "alikassa")
    roots = {"alikassa --help": package.parent, "the same tree, empty": empty}
    for root in roots.values():
        compileall.compile_dir(root / "alikassa", quiet=1)
    texts = {_run(root, folder)[1] for root in roots.values()}
    assert len(texts) == 1, "the empty tree prints another help than alikassa"
    samples: dict[str, list[float]] = {name: [] for name in roots}
    for _ in range(runs):
        for name, root in roots.items():
            samples[name].append(_run(root, folder)[0])
    ours, bare = (Row(name, found) for name, found in samples.items())
    ours.comparisons = (ours.over(bare, _TARGET),)
    progress(f"  {runs} runs each: {ours.median:.0f} ms and {bare.median:.0f} ms")
    return Section("alikassa --help, milliseconds", (ours, bare), lower_is_better=True)


def _run(root: Path, folder: Path) -> tuple[float, str]:
    """Milliseconds and output of `python -m alikassa --help`, with the package that lies in `root`."""
    environment = clean_environment() | {"PYTHONPATH": str(root), "COLUMNS": "100", "NO_COLOR": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "alikassa", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
        cwd=folder,
    )
    return (time.perf_counter() - start) * 1000, done.stdout
