"""The monitor: looks, keeps, decides, tells."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from alikassa import clock
from alikassa.errors import AlikassaError
from alikassa.monitor.decisions import Alert, AlertKind
from alikassa.monitor.delivery import open_channels
from alikassa.monitor.history import HistoryError
from alikassa.monitor.listener import Listener
from alikassa.monitor.poller import poll
from alikassa.monitor.teller import Teller

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from alikassa.client.asynchronous import AsyncClient
    from alikassa.monitor.history import History
    from alikassa.monitor.rules import Rules
    from alikassa.monitor.snapshots import Snapshot
    from alikassa.profiles import Profile

__all__ = ["Listener", "run_monitor"]


# How long a silence may go unnoticed when nobody looks: after a 429, or between rare looks.
_TICK_SECONDS = 15.0


async def run_monitor(
    profiles: Mapping[str, Profile],
    every: timedelta,
    keep: timedelta,
    history: History | None,
    rules: Rules | None,
    listener: Listener,
    *,
    once: bool = False,
) -> None:
    """Watch the profiles' accounts until cancelled; with `once`, one look each, and its alerts are told.

    Rules need a history, which keeps each snapshot for `keep`. Raises ConfigurationError or CertificateError for a
    profile or channel of no use; what fails later is a snapshot, or told to the listener.
    """
    async with AsyncExitStack() as stack:
        clients: dict[str, tuple[str, AsyncClient]] = {}
        for name, profile in profiles.items():
            clients[name] = profile.account, await stack.enter_async_context(_client(name, profile))
        teller = None
        if history is not None and rules is not None:
            channels = open_channels(rules)
            for channel in channels:
                stack.push_async_callback(channel.close)
            teller = Teller(history, rules, channels, listener)

        async def tell(snapshot: Snapshot) -> None:
            trouble = _keep(history, snapshot, keep)
            listener.snapshot(snapshot)
            if teller is not None:
                trouble = trouble or teller.decide(snapshot.profile)
            troubles.tell(trouble)

        troubles = _Troubles(listener, teller)
        async with anyio.create_task_group() as tasks:
            if teller is not None and not once:
                tasks.start_soon(teller.deliver_always, min(every.total_seconds(), _TICK_SECONDS))
            await poll(clients, every, tell, once=once)
            if teller is not None:
                await teller.deliver()
            tasks.cancel_scope.cancel()


def _keep(history: History | None, snapshot: Snapshot, span: timedelta) -> HistoryError | None:
    if history is not None:
        try:
            history.keep(snapshot, span)
        except HistoryError as error:
            return error
    return None


class _Troubles:
    """Says once that the history is of no use, where alerts go as well, and once that it is again: looks go on, but
    rules cannot be judged, and nobody who waits for an alert would know."""

    def __init__(self, listener: Listener, teller: Teller | None) -> None:
        self._listener, self._teller = listener, teller
        self._since: datetime | None = None

    def tell(self, trouble: HistoryError | None) -> None:
        if (trouble is None) == (self._since is None):
            return
        now = clock.now()
        since = self._since or now
        if trouble is None:
            kind, text = AlertKind.OVER, "Looks are kept again, and alerts are raised."
        else:
            kind, text = AlertKind.FIRED, f"Looks are not kept, and no alert is raised. {trouble}"
        self._since = now if trouble else None
        self._listener.problem(text)
        if self._teller is not None:
            self._teller.tell_unkept(Alert("history", "*", "", kind, now, since, text))


def _client(name: str, profile: Profile) -> AsyncClient:
    from alikassa.profiles.connect import open_async_client

    try:
        return open_async_client(profile)
    except AlikassaError as error:
        error.args = (f"Profile {name}: {error}",)
        raise
