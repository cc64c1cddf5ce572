"""What a sandbox was asked, without what must not be kept: `Sign`."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Asked", "Record"]

#: The last so many requests are kept.
MOST_KEPT = 1000
_LONGEST_TEXT = 200


class Asked(msgspec.Struct, frozen=True):
    """A request and what became of it.

    - `account`: the Account header as it was sent, "" when there was none;
    - `digest`: `sha256` or `sha1`, with which a key of the account's merchant has signed the body; "" when none has;
    - `status`: of the answer; 0 when there was none;
    - `fault`: the kind of the fault that it met, "" when it met none.
    """

    method: str
    path: str
    account: str
    digest: str
    body: bytes
    status: int
    fault: str = ""


class Record:
    """The last requests, the oldest first. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Asked] = deque(maxlen=MOST_KEPT)

    def add(self, *, method: str, path: str, account: str, digest: str, body: bytes, status: int, fault: str) -> None:
        with self._lock:
            self._kept.append(Asked(method, path[:_LONGEST_TEXT], account[:_LONGEST_TEXT], digest, body, status, fault))

    def all(self) -> Sequence[Asked]:
        with self._lock:
            return tuple(self._kept)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
