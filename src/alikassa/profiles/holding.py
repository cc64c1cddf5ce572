"""One process at a time changes the configuration file, so that none undoes what another one has just written."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["hold_profiles"]

# How long another process may take, in seconds; a change takes milliseconds.
_PATIENCE = 10.0
_PAUSE = 0.02


@contextmanager
def hold_profiles(path: Path) -> Iterator[None]:
    """Within it, no other `hold_profiles` of this file is. Read the file anew within it, and save it within it.

    The lock is on the file's folder, which is made if needed: the file itself is replaced at each change. Where the
    system has no such locks (Windows), there is none. Raises ConfigurationError.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder = path.resolve().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"Cannot write to {folder}: {error.strerror}.") from error
    try:
        _wait(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB), path)
        yield
    finally:
        # Which gives the lock back.
        os.close(descriptor)


def _wait(lock: Callable[[], None], path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return lock()
        except BlockingIOError:
            if time.monotonic() >= until:
                raise ConfigurationError(
                    f"Another process has been changing {path} for {_PATIENCE:g} s.", remedy="Look what it waits for."
                ) from None
        except OSError:
            # A file system without locks, as some of those over a network are.
            return None
        time.sleep(_PAUSE)
