"""Work that may wait for a device or a network, in threads of its own: who needs it waits only as long as it likes."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar

from alikassa.errors import AlikassaError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background", "raise_if_failed"]

K = TypeVar("K")


class Background(Generic[K]):
    """Runs `work(key)` in a thread, once at a time for each key: who asks meanwhile waits for the same."""

    def __init__(self, work: Callable[[K], object]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._under_way: dict[K, Future[object]] = {}

    def begin(self, key: K) -> Future[object]:
        """What is under way for this key, begun now if nothing is. It cannot be cancelled."""
        with self._lock:
            found = self._under_way.get(key)
            if found is None:
                found = Future()
                found.set_running_or_notify_cancel()
                # The program's context goes along: what the signer's library traces belongs under its span.
                context = contextvars.copy_context()
                # A daemon: a device that never answers must not keep the program from ending.
                threading.Thread(
                    target=context.run, args=(self._run, key, found), name="alikassa signer", daemon=True
                ).start()
                self._under_way[key] = found
            return found

    def _run(self, key: K, future: Future[object]) -> None:
        error: BaseException | None = None
        try:
            self._work(key)
        except BaseException as raised:
            error = raised
        with self._lock:
            self._under_way.pop(key, None)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def raise_if_failed(done: Future[object]) -> None:
    """Raise what the work raised: an error of ours as a copy, since each call writes its own id onto it."""
    error = done.exception()
    if isinstance(error, AlikassaError):
        own = copy(error)
        own.__cause__ = error.__cause__
        raise own
    if error is not None:
        raise error
