"""What faults there are, and what making them needs on either engine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from operator_server import Served
from test_operator_process import children, operator_process

__all__ = ["FAULTS", "Place", "full", "kill", "small_disk", "workers_of"]

FAULTS = ("slow", "silent", "away", "read_only", "full", "killed", "switched")


@dataclass(frozen=True)
class Place:
    """Where the books are, and the faults that can be had there, by name."""

    url: str
    faults: Mapping[str, Callable[[Served], AbstractContextManager[None]]]
    #: The database itself, past any line that is slow or cut.
    own_url: str
    #: The engine with its version.
    version: str
    #: How many connections were cut after their commit was done, before anybody was told.
    cut_after_commit: Callable[[], int] = lambda: 0


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, or a skip where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        filler.unlink()


def kill(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def workers_of(served: Served) -> list[int]:
    """Who books, and then who reads."""
    main = served.server.process.pid
    operator = operator_process(main)
    found = children(operator) + [child for child in children(main) if child != operator]
    return [one for one in found if b"resource_tracker" not in Path(f"/proc/{one}/cmdline").read_bytes()]
