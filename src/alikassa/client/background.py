"""Work that may wait for a device or a network, in threads of its own: who needs it waits only as long as it likes."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar

from alikassa.errors import AlikassaError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background", "result_of"]

K = TypeVar("K", bound="tuple[object, ...]")
T = TypeVar("T")

# What may be under way at once: signatures over bodies of their own pile up behind a device that does not answer.
_MOST_UNDER_WAY = 64


class Background(Generic[K, T]):
    """Runs `work(*key)` in a thread, once at a time for each key: who asks meanwhile waits for the same."""

    def __init__(self, work: Callable[..., T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._under_way: dict[K, Future[T]] = {}

    def begin(self, key: K) -> Future[T]:
        """What is under way for this key, begun now if nothing is. It cannot be cancelled.

        NetworkError when so much is under way that whatever does it seems to be away.
        """
        with self._lock:
            found = self._under_way.get(key)
            if found is None:
                if len(self._under_way) >= _MOST_UNDER_WAY:
                    raise NetworkError(
                        f"{_MOST_UNDER_WAY} signatures are still under way.", remedy="See whether the signer answers."
                    )
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

    def _run(self, key: K, future: Future[T]) -> None:
        try:
            result = self._work(*key)
        except BaseException as error:
            self._end(key)
            future.set_exception(error)
        else:
            self._end(key)
            future.set_result(result)

    def _end(self, key: K) -> None:
        with self._lock:
            self._under_way.pop(key, None)


def result_of(done: Future[T]) -> T:
    """What the work gave, or raise what it raised: of ours as a copy, since each call writes its id onto it."""
    error = done.exception()
    if isinstance(error, AlikassaError):
        own = copy(error)
        own.__cause__ = error.__cause__
        raise own
    return done.result()
