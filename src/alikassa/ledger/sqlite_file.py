"""A SQLite file as it is when a connection to it is opened, and whether that still holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Opened", "is_writable"]


class Opened(NamedTuple):
    """Taken before the file is opened: what changes meanwhile makes it too old, never too new."""

    #: Device and number; None when there is no file.
    identity: tuple[int, int] | None
    writable: bool

    @classmethod
    def now(cls, file: Path) -> Opened:
        return cls(_identity(file), is_writable(file))

    def holds(self, file: Path) -> bool:
        """Whether a connection that was opened then is to the file of now, and may do what can be done there now."""
        return _identity(file) == self.identity and (self.writable or not is_writable(file))


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
