"""Raises alerts after each look, and delivers them beside the looks: a channel that hangs holds up nobody else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

from alikassa.monitor.decisions import Alert
from alikassa.monitor.history import HistoryError
from alikassa.monitor.outbox import MOST_ATTEMPTS, Outbox
from alikassa.monitor.rules import NoAnswer

if TYPE_CHECKING:
    from alikassa.monitor.delivery import Channel
    from alikassa.monitor.history import History
    from alikassa.monitor.listener import Listener
    from alikassa.monitor.rules import Rules

__all__ = ["Teller"]

_MOST_UNKEPT = 10


class Teller:
    """`decide` after each look; `deliver` what waits once, or `deliver_always`."""

    def __init__(self, history: History, rules: Rules, channels: list[Channel], listener: Listener) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._outbox = Outbox(history, rules, list(self._channels))
        self._listener = listener
        self._seen: set[str] = set()
        self._unkept = {name: deque[Alert](maxlen=_MOST_UNKEPT) for name in self._channels}
        self._wake = anyio.Event()

    def decide(self, profile: str) -> HistoryError | None:
        """Raise the alerts that the latest look at a profile brings. What hinders it is returned."""
        self._seen.add(profile)
        self._wake.set()
        return self._decide(profile)

    def tell_unkept(self, alert: Alert) -> None:
        """Deliver an alert that the history cannot keep. It is lost when the process ends before it is told."""
        for alerts in self._unkept.values():
            alerts.append(alert)
        self._wake.set()

    async def deliver_always(self, tick: float) -> None:
        """Deliver after each look and every `tick` seconds, and see by the clock who is silent for too long."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_silence, tick)
            while True:
                with anyio.move_on_after(tick):
                    await self._wake.wait()
                self._wake = anyio.Event()
                await self.deliver()

    async def deliver(self) -> None:
        async with anyio.create_task_group() as tasks:
            for channel in self._channels.values():
                tasks.start_soon(self._deliver_to, channel)

    async def _watch_silence(self, tick: float) -> None:
        while True:
            await anyio.sleep(tick)
            # Only of this process's own looks: the last one before it began says nothing of now.
            for profile in self._seen:
                # That the history cannot be used is said at the next look.
                self._decide(profile, NoAnswer)

    def _decide(self, profile: str, only: type[NoAnswer] | None = None) -> HistoryError | None:
        try:
            for alert in self._outbox.decide(profile, only):
                self._listener.alert(alert)
                self._wake.set()
        except HistoryError as error:
            return error
        return None

    async def _deliver_to(self, channel: Channel) -> None:
        unkept = self._unkept[channel.name]
        while unkept:
            problem = await channel.send(unkept[0])
            if problem is not None:
                self._complain(unkept[0], problem)
                return
            unkept.popleft()
        try:
            await self._deliver_kept(channel)
        except HistoryError:
            # Said after the next look, which cannot be kept either.
            return

    async def _deliver_kept(self, channel: Channel) -> None:
        while (due := self._outbox.claim(channel.name)) is not None:
            problem = await channel.send(due.alert)
            self._outbox.tried(due, delivered=problem is None)
            if problem is not None:
                self._complain(due.alert, problem, given_up=due.attempt >= MOST_ATTEMPTS)
                # The others would fail alike, and each takes its time.
                return

    def _complain(self, alert: Alert, problem: str, *, given_up: bool = False) -> None:
        fate = f"is given up after {MOST_ATTEMPTS} attempts" if given_up else "is not told yet"
        self._listener.problem(f"Alert {alert.rule} of {alert.profile} {fate}: {problem}.")
