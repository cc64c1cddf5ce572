"""The folder in which the server's processes leave their totals, each in a file of its own.

A process holds a lock for as long as it lives, and the system lets go of it however that ends: so who reads knows which
gauges are history. What a process has counted stays when it is gone, and no total ever falls.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ConfigurationError
from alikassa.server.metrics.samples import Sample, Totals, add_up

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Leaving", "Reading", "new_folder"]

_TOTALS = ".json"
_LOCK = ".lock"
_ENDED = "ended"
_PREFIX = "alikassa-metrics-"
_ABANDONED_SECONDS = 86_400
# Read no more of one file than this: they are a few kilobytes.
_LARGEST = 1024 * 1024


class _Ended(msgspec.Struct):
    """What ended processes had counted. `names` are those whose own files may still be there, and do not count."""

    names: list[str] = []
    samples: list[Sample] = []


@contextmanager
def new_folder() -> Iterator[Path]:
    """For one server, and for its user alone; removed at the end, or, when the server was killed, by one that begins a
    day later. ConfigurationError when there is no place for it."""
    _remove_abandoned()
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise ConfigurationError(
            f"There is no place for the processes' counts: {error.strerror}.",
            remedy="Name a folder that can be written to with TMPDIR, or serve with --no-operator.",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    """Where somebody works, a file is replaced every second, which the folder's time tells."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            found = folder.lstat()
            if found.st_uid == os.getuid() and found.st_mtime < time.time() - _ABANDONED_SECONDS:
                # A link is left alone.
                shutil.rmtree(folder, ignore_errors=True)


class Leaving:
    """One process's file."""

    def __init__(self, folder: Path) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file = folder / f"{self.name}{_TOTALS}"
        # Locked before it has its name, so that nobody meets it unlocked while this process lives.
        unnamed = folder / f"{self.name}.new"
        self._lock = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(folder / f"{self.name}{_LOCK}")

    def write(self, samples: list[Sample]) -> None:
        """Take the place of what was there. OSError when it cannot be written."""
        _replace(self._file, msgspec.json.encode(samples))

    def close(self) -> None:
        """The process is about to end."""
        os.close(self._lock)


class Reading:
    """All processes' totals. For one reader at a time: it sums up those of ended ones, so that files stay few."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, *, without: str = "") -> list[Totals]:
        """Of every process but the one of that name. A file that cannot be read is passed over."""
        ended = self._ended()
        there, gone = [], []
        for lock in sorted(self._folder.glob(f"*{_LOCK}")):
            name = lock.name.removesuffix(_LOCK)
            if name == without or name in ended.names:
                continue
            # Asked before its totals are read: then those of one that is gone are its last.
            alive = _is_held(lock)
            totals = Totals(self._samples(name), alive=alive)
            there.append(totals)
            if not alive:
                gone.append((name, totals))
        if gone or ended.names:
            self._sum_up(ended, gone)
        return [*there, Totals(ended.samples, alive=False)]

    def _sum_up(self, ended: _Ended, gone: list[tuple[str, Totals]]) -> None:
        """Write first, delete after: whoever is stopped in between is told by the names what counts."""
        with suppress(OSError):
            self._delete(ended.names)
            if gone:
                names = [name for name, _ in gone]
                samples = add_up([Totals(ended.samples, alive=False), *(totals for _, totals in gone)])
                _replace(self._folder / _ENDED, msgspec.json.encode(_Ended(names, samples)))
                self._delete(names)

    def _delete(self, names: list[str]) -> None:
        for name in names:
            for file in self._folder.glob(f"{name}.*"):
                file.unlink(missing_ok=True)

    def _samples(self, name: str) -> list[Sample]:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(_content(self._folder / f"{name}{_TOTALS}"), type=list[Sample])
        return []

    def _ended(self) -> _Ended:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(_content(self._folder / _ENDED), type=_Ended)
        return _Ended()


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_LARGEST)


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(content)
    new.replace(file)


def _is_held(lock: Path) -> bool:
    try:
        opened = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False
