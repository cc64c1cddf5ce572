"""Which connections this process has to a SQLite file, and when they must be closed before another one is opened.

Connections of one process share how the file's log and the log's index are open, for as long as one of them lives.
Whoever opens a file while an earlier connection has its index read-only shares that, and can write nothing, although
all of it is writable by then. So a process whose files were read-only opens nothing more to them until what was opened
then is closed; whoever holds such a connection is asked to let go of it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FileConnection", "Opened", "note_error", "open_file"]

# How often whoever waits looks again. Mostly he is told: this is for a connection that nobody closed, and is gone.
_LOOK_SECONDS = 0.05

_changed = threading.Condition()
_open: list[Opened] = []


class Opened:
    """A file as it was just before a connection to it was opened: what changes meanwhile makes it too old, never too
    new."""

    def __init__(self, file: Path, let_go: Callable[[], None]) -> None:
        """`let_go` is called from any thread, when the connection must be closed as soon as nothing goes on there."""
        self._file = file
        self._identity = _identity(file)
        self._was_writable = _is_writable(file)
        self._let_go = let_go
        #: Whoever holds the connection was asked to close it.
        self.is_over = False
        self._connection: weakref.ref[FileConnection] | None = None

    def holds(self) -> bool:
        """Whether it is open to the file of now, and may do what can be done there now."""
        return (
            not self.is_over
            and _identity(self._file) == self._identity
            and (self._was_writable or not _is_writable(self._file))
        )

    def may_stay(self) -> bool:
        """Whether it keeps no other connection from writing."""
        return self._was_writable and not self.is_over

    def ask(self) -> None:
        """For it to be closed."""
        if not self.is_over:
            self.is_over = True
            self._let_go()

    def is_gone(self) -> bool:
        """Whether nobody closed the connection, and it is no more."""
        return self._connection is not None and self._connection() is None

    def bars(self, other: Opened) -> bool:
        """Whether `other`, which could write, could not if it were opened now."""
        is_here = self._file == other._file and self._identity == other._identity and not self.is_gone()
        return is_here and other.may_stay() and not self.may_stay()


class FileConnection(sqlite3.Connection):
    """Made by `open_file`."""

    opened: Opened

    def close(self) -> None:
        super().close()
        _leave(self.opened)


def open_file(file: Path, let_go: Callable[[], None], patience: float, **settings: Any) -> FileConnection:
    """Opens a file that is there: one that is gone does not come back empty. `settings` are those of the driver.

    Waits for `patience` seconds until nobody has it open as it was while it was read-only; OperationalError if somebody
    still has.
    """
    opened = _enter(file, let_go, patience)
    try:
        # We begin transactions ourselves: the driver's own habit begins them too late.
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=rw", uri=True, factory=FileConnection, isolation_level=None, **settings
        )
    except BaseException:
        _leave(opened)
        raise
    connection.opened = opened
    opened._connection = weakref.ref(connection)
    return connection


def note_error(file: Path, error: BaseException) -> None:
    """When it refuses a write as read-only although the files are writable, everything that is open is over."""
    if "readonly" in str(error) and _is_writable(file):
        with _changed:
            for one in _open:
                if one._file == file:
                    one.ask()


def _enter(file: Path, let_go: Callable[[], None], patience: float) -> Opened:
    until = time.monotonic() + patience
    with _changed:
        while True:
            opened = Opened(file, let_go)
            earlier = [one for one in _open if one.bars(opened)]
            if not earlier:
                _open.append(opened)
                return opened
            for one in earlier:
                one.ask()
            left = until - time.monotonic()
            if left <= 0:
                raise sqlite3.OperationalError("was read-only, and is still open as it was then")
            _changed.wait(min(left, _LOOK_SECONDS))


def _leave(opened: Opened) -> None:
    with _changed:
        _open[:] = [one for one in _open if one is not opened and not one.is_gone()]
        _changed.notify_all()


def _is_writable(file: Path) -> bool:
    """The file, and its log and the log's index where there are such."""
    parts = (f"{file}{end}" for end in ("", "-wal", "-shm"))
    # One that comes or goes just now is not read-only.
    return all(os.access(part, os.W_OK) or not os.path.exists(part) or os.access(part, os.W_OK) for part in parts)


def _identity(file: Path) -> tuple[int, int] | None:
    """Device and number; None when there is no file."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
