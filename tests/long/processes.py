"""What a process and its children take of the machine."""

from __future__ import annotations

from pathlib import Path

__all__ = ["children_of", "files_of", "rss_of"]


def children_of(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def rss_of(pid: int) -> int:
    """Resident memory in bytes, of the process and all below it; what they share counts for each."""
    total = 0
    for one in children_of(pid):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def files_of(pid: int) -> int:
    """Open files and sockets, of the process and all below it."""
    return sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in children_of(pid))
