"""What a server takes of the machine: its process and all below it, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_seconds", "memory_bytes", "open_files"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def _below(pid: int) -> list[int]:
    """The process first."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time so far, in the programs and in the kernel for them; to 10 ms."""
    ticks = 0
    for one in _below(pid):
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK


def memory_bytes(pid: int) -> int:
    """Resident memory. What processes share counts for each of them."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in _below(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Open files and sockets."""
    return sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in _below(pid))
