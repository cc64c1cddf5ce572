"""The monitor: looks, keeps, decides, tells."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from alikassa import clock
from alikassa.errors import AlikassaError
from alikassa.monitor.delivery import open_channels
from alikassa.monitor.outbox import Outbox
from alikassa.monitor.poller import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from alikassa.client.asynchronous import AsyncClient
    from alikassa.monitor.decisions import Alert
    from alikassa.monitor.delivery import Channel
    from alikassa.monitor.history import History
    from alikassa.monitor.rules import Rules
    from alikassa.monitor.snapshots import Snapshot
    from alikassa.profiles import Profile

__all__ = ["Listener", "run_monitor"]


def _nothing(_: object) -> None:
    """For who does not listen."""


@dataclass(frozen=True)
class Listener:
    """Who is told of each snapshot, of each alert, and of an alert that could not be delivered."""

    snapshot: Callable[[Snapshot], object]
    alert: Callable[[Alert], object] = _nothing
    problem: Callable[[str], object] = _nothing


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
            teller = _Teller(history, rules, channels, listener)

        async def tell(snapshot: Snapshot) -> None:
            if history is not None:
                history.add(snapshot)
                history.forget(keep, snapshot.at)
            listener.snapshot(snapshot)
            if teller is not None:
                teller.decide(snapshot)

        async with anyio.create_task_group() as tasks:
            if teller is not None and not once:
                tasks.start_soon(teller.deliver_always)
            await poll(clients, every, tell, once=once)
            if teller is not None:
                await teller.deliver()
            tasks.cancel_scope.cancel()


class _Teller:
    """Decides after each look, and delivers beside the looks: a webhook that hangs does not hold them up."""

    def __init__(self, history: History, rules: Rules, channels: list[Channel], listener: Listener) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._outbox = Outbox(history, rules, list(self._channels))
        self._listener = listener
        self._wake = anyio.Event()

    def decide(self, snapshot: Snapshot) -> None:
        for alert in self._outbox.decide(snapshot.profile, snapshot.at):
            self._listener.alert(alert)
        self._wake.set()

    async def deliver_always(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self.deliver()

    async def deliver(self) -> None:
        for due in self._outbox.due():
            problem = await self._channels[due.channel].send(due.alert)
            self._outbox.tried(due, clock.now(), delivered=problem is None)
            if problem is not None:
                self._listener.problem(f"Alert {due.alert.rule} of {due.alert.profile} is not told yet: {problem}.")


def _client(name: str, profile: Profile) -> AsyncClient:
    from alikassa.profiles.connect import open_async_client

    try:
        return open_async_client(profile)
    except AlikassaError as error:
        error.args = (f"Profile {name}: {error}",)
        raise
