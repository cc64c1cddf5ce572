"""Looks at accounts again and again: one client a profile, a bounded number of them at a time."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import anyio

from alikassa import clock
from alikassa.errors import AlikassaError
from alikassa.monitor.snapshots import Figures, Snapshot, failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta

    from alikassa.client.asynchronous import AsyncClient

__all__ = ["look", "poll", "wait_after"]

_MOST_AT_ONCE = 8
_LONGEST_WAIT = 3600.0
_JITTER = 0.1


async def look(profile: str, account: str, client: AsyncClient) -> Snapshot:
    """Ask once. A failure is a snapshot too."""
    begun = time.monotonic()
    try:
        found = await client.balance()
    except AlikassaError as error:
        return Snapshot(profile, account, clock.now(), time.monotonic() - begun, failure=failure_of(error))
    figures = Figures(
        found.currency, found.balance, found.hold, found.rolling_reserve, found.pending_payouts, found.raw
    )
    return Snapshot(profile, account, clock.now(), time.monotonic() - begun, figures)


def wait_after(snapshot: Snapshot, every: timedelta, chance: float) -> float:
    """Seconds until the next look. `chance` is between 0 and 1, and spreads the looks over a tenth either way.

    A server that asks to come back later is left alone for that long, an hour at most.
    """
    wait = every.total_seconds() * (1 + _JITTER * (2 * chance - 1))
    asked = None if snapshot.failure is None else snapshot.failure.retry_after
    return wait if asked is None else max(wait, min(asked, _LONGEST_WAIT))


async def poll(
    clients: Mapping[str, tuple[str, AsyncClient]],
    every: timedelta,
    tell: Callable[[Snapshot], Awaitable[None]],
    *,
    once: bool = False,
) -> None:
    """Look at each profile's account (`clients`: account and client by profile's name) and tell what was found.

    Until cancelled; with `once`, one look each.
    """
    limit = anyio.Semaphore(_MOST_AT_ONCE)

    async def follow(profile: str, account: str, client: AsyncClient) -> None:
        while True:
            async with limit:
                snapshot = await look(profile, account, client)
            await tell(snapshot)
            if once:
                return
            await anyio.sleep(wait_after(snapshot, every, random.random()))  # noqa: S311 - no secret

    async with anyio.create_task_group() as tasks:
        for profile, (account, client) in clients.items():
            tasks.start_soon(follow, profile, account, client)
