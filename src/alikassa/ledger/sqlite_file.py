"""A SQLite file as it is when a connection to it is opened, and whether that still holds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

__all__ = ["Opened", "is_writable", "note_error", "refusals_of"]

# Connections of one process share how a file's log and its index are open, for as long as one of them lives: one that
# is opened while another still has them read-only has them so, too, although they are writable by then. That shows
# when a write is refused. By file, how often that was.
_refusals: Counter[Path] = Counter()


def note_error(file: Path, error: BaseException) -> None:
    """When it refuses a write as read-only although the files are writable, what is open is too old from now on."""
    if "readonly" in str(error) and is_writable(file):
        _refusals[file] += 1


def refusals_of(file: Path) -> int:
    return _refusals[file]


class Opened(NamedTuple):
    """Taken before the file is opened: what changes meanwhile makes it too old, never too new."""

    #: Device and number; None when there is no file.
    identity: tuple[int, int] | None
    writable: bool
    refusals: int

    @classmethod
    def now(cls, file: Path) -> Opened:
        return cls(_identity(file), is_writable(file), refusals_of(file))

    def holds(self, file: Path) -> bool:
        """Whether a connection that was opened then is to the file of now, and may do what can be done there now."""
        return (
            _identity(file) == self.identity
            and (self.writable or not is_writable(file))
            and self.refusals == refusals_of(file)
        )

    def may_stay(self, file: Path) -> bool:
        """Whether it keeps no other connection from writing."""
        return self.writable and self.refusals == refusals_of(file)


def is_writable(file: Path) -> bool:
    """The file, and its log and the log's index where there are such."""
    parts = (Path(f"{file}{end}") for end in ("", "-wal", "-shm"))
    return all(os.access(part, os.W_OK) for part in parts if part.exists())


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
