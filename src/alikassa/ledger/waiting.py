"""Requests that wait for a joined read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.ledger.reader import MOST_JOINED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from alikassa.ledger.reader import Standing

__all__ = ["Joined", "Waiting"]

_Waiters = dict[str, list["asyncio.Future[Standing | None]"]]


class Joined:
    """Some accounts that are read together, and who waits for each."""

    __slots__ = ("_waiters", "accounts")

    def __init__(self, waiters: _Waiters) -> None:
        self._waiters = waiters
        self.accounts = list(waiters)

    def give(self, found: Mapping[str, Standing]) -> None:
        """Everybody their account, None where there is no such."""
        for account, futures in self._waiters.items():
            standing = found.get(account)
            for future in futures:
                if not future.done():
                    future.set_result(standing)

    def fail(self, error: Exception) -> None:
        """Everybody this error."""
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    def cancel(self) -> None:
        """The read will not take place."""
        for futures in self._waiters.values():
            for future in futures:
                future.cancel()


class Waiting:
    """The accounts that the next reads are for."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: _Waiters = {}

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, account: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Standing | None]:
        future: asyncio.Future[Standing | None] = loop.create_future()
        self._waiters.setdefault(account, []).append(future)
        return future

    def take(self) -> Joined:
        """The first of them, at most `MOST_JOINED`."""
        if len(self._waiters) <= MOST_JOINED:
            taken, self._waiters = self._waiters, {}
        else:
            accounts = list(self._waiters)[:MOST_JOINED]
            taken = {account: self._waiters.pop(account) for account in accounts}
        return Joined(taken)
