"""Balance reads whose four numbers may come from a replica. Who may ask, and what time it is, is read at the primary.

Whatever a replica cannot answer in time, or not within the bound, the primary answers at once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from alikassa.ledger.address import Address
from alikassa.ledger.counts import ReadCounts
from alikassa.ledger.failures import DRIVER_ERRORS, translate
from alikassa.ledger.reader import Standing
from alikassa.ledger.reader_postgresql import PostgresqlReader
from alikassa.ledger.replicas.beats import Beats
from alikassa.ledger.replicas.numbers import NumbersServer
from alikassa.ledger.replicas.permissions import Permissions
from alikassa.ledger.replicas.told import Told, ToldAccounts
from alikassa.ledger.waiting import Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.clock import Clock
    from alikassa.ledger.asking import Asker
    from alikassa.ledger.replicas.numbers import Numbers
    from alikassa.ledger.replicas.permissions import Permitted
    from alikassa.ledger.replicas.settings import ReplicaSettings

__all__ = ["ReplicaReader", "ReplicaWatch", "Source"]

#: For one answer of a replica: rather than wait any longer, the primary is asked. And for one of the primary.
_REPLICA_SECONDS = 0.1
_PRIMARY_SECONDS = 3.0
#: A beat a part of the bound, and never less often than in so many seconds.
_BEATS_A_BOUND = 5
_LONGEST_PAUSE = 1.0
#: A replica that is used now and not then is told of once in so many seconds.
_TELL_SECONDS = 10.0
_FIRST_SECONDS = 1.0


class Source(StrEnum):
    """Where the four numbers of an account were read, and why there."""

    REPLICA = "replica"
    #: No replica was within the bound, or none answered.
    NO_REPLICA = "no_replica"
    #: One answered, with less than it takes: too old, or without the account.
    OLD = "old"


class ReplicaWatch(Protocol):
    """Is told of replicas that come and go, and of what should never happen: called where the exception is handled."""

    def replica_used(self, replica: str) -> None: ...
    def replica_left(self, replica: str, why: str) -> None: ...
    def heartbeat_failed(self) -> None: ...


@dataclass
class _State:
    """What was told of a replica: None for nothing yet. `why` it was given up last."""

    used: bool | None = None
    told_at: float = field(default_factory=lambda: time.monotonic() + _FIRST_SECONDS - _TELL_SECONDS)
    why: str = "not connected yet"


class ReplicaReader:
    """See `AccountReader`. `bound` is how old numbers may be when they are given, in seconds."""

    def __init__(
        self,
        address: Address,
        settings: ReplicaSettings,
        bound: float,
        now: Clock | None = None,
        watch: ReplicaWatch | None = None,
    ) -> None:
        self._address = address
        self._bound = bound
        self._watch = watch
        self._ready = PostgresqlReader(address, now)
        self._permissions = Permissions(address, now)
        self._beats = Beats(address)
        self._primary = NumbersServer("primary", address, self._beats.worker, _PRIMARY_SECONDS, standby=False)
        self._states: dict[NumbersServer, _State] = {}
        for number, url in enumerate(settings.urls, 1):
            one = Address.parse(url)
            replica = NumbersServer(f"{number}, {one}", one, self._beats.worker, _REPLICA_SECONDS, standby=True)
            self._states[replica] = _State()
        self._told = ToldAccounts()
        self.counts = ReadCounts()
        self.counts.sources.update(dict.fromkeys(Source, 0))
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(self._loop, self.counts)
        self._reading: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._defect_told_at = float("-inf")

    def find(self, account: str, asker: Asker | None = None, /) -> asyncio.Future[Standing | None]:
        future = self._waiting.add(account, asker)
        if self._reading is None:
            self._reading = self._loop.create_task(self._read())
            if self._beating is None:
                self._beating = self._loop.create_task(self._beat())
        return future

    async def _read(self) -> None:
        try:
            while self._waiting:
                joined = self._waiting.take()
                if not joined:
                    continue
                try:
                    joined.give(await self._find(joined.accounts))
                except Exception as error:  # a DatabaseError, or a defect: whoever waits must be told all the same
                    joined.fail(error)
                except BaseException:
                    joined.cancel()
                    raise
        finally:
            self._reading = None

    async def _find(self, accounts: list[str]) -> dict[str, Standing]:
        replica = self._choose()
        # Side by side: two round trips, one after the other, would take twice as long.
        permitted, numbers = await asyncio.gather(
            self._permissions.find(accounts), self._numbers(replica or self._primary, accounts), return_exceptions=True
        )
        if isinstance(permitted, BaseException):
            raise permitted
        if isinstance(numbers, BaseException):
            raise numbers
        allowed, now = permitted
        if replica is None:
            return await self._of_primary(allowed, numbers, now, Source.NO_REPLICA)
        found = await self._of_replica(replica, allowed, numbers, now)
        self.counts.sources[Source.REPLICA] += len(found)
        left = {account: one for account, one in allowed.items() if account not in found}
        if left:
            source = Source.OLD if numbers else Source.NO_REPLICA
            found |= await self._of_primary(left, await self._numbers(self._primary, list(left)), now, source)
        return found

    async def _of_replica(
        self, replica: NumbersServer, permitted: dict[str, Permitted], numbers: dict[str, Numbers], now: datetime
    ) -> dict[str, Standing]:
        """What a replica's numbers make of these accounts, as far as they are no older than they may be."""
        due = _due(numbers, now)
        if due:
            # Those that it does not answer now are left out.
            numbers = {account: one for account, one in numbers.items() if account not in due}
            numbers |= await self._numbers(replica, due, now)
        moment = time.monotonic()
        young: dict[str, Numbers] = {}
        for account, one in numbers.items():
            begun = self._beats.begun(one.beat)
            if moment - begun <= self._bound and self._told.may_tell(account, one.sequence, begun):
                young[account] = one
        return self._standings(permitted, young, due)

    async def _of_primary(
        self, permitted: dict[str, Permitted], numbers: dict[str, Numbers], now: datetime, source: Source
    ) -> dict[str, Standing]:
        due = _due(numbers, now)
        if due:
            numbers = numbers | await self._numbers(self._primary, due, now)
        found = self._standings(permitted, numbers, due)
        self.counts.sources[source] += len(found)
        return found

    def _standings(
        self, permitted: dict[str, Permitted], numbers: dict[str, Numbers], due: list[str]
    ) -> dict[str, Standing]:
        """Both together, which from now on is what was told."""
        moment = time.monotonic()
        summed = set(due)
        found: dict[str, Standing] = {}
        for account, one in numbers.items():
            allowed = permitted.get(account)
            if allowed is None:
                continue
            standing = None if account in summed else self._told.find(account).again(one.sequence, allowed)
            if standing is None:
                standing = Standing(allowed.currency, *one.amounts, allowed.certificates, allowed.requires_fresh)
            self._told.keep(account, Told(moment, one.sequence, allowed, None if account in summed else standing))
            found[account] = standing
        return found

    async def _numbers(
        self, server: NumbersServer, accounts: list[str], now: datetime | None = None
    ) -> dict[str, Numbers]:
        """The numbers of these accounts, with what is due by `now`. None at all of a replica that does not answer."""
        try:
            return await (server.numbers(accounts) if now is None else server.due(accounts, now))
        except DRIVER_ERRORS as error:
            self._drop(server, error)
            if server is self._primary:
                raise translate(self._address, error) from error
            return {}
        except BaseException:
            # In the middle of an answer, it is of no more use.
            server.drop()
            raise

    def _choose(self) -> NumbersServer | None:
        """The first that is known to be within the bound."""
        earliest = time.monotonic() - self._bound
        for replica in self._states:
            if replica.is_connected and self._beats.begun(replica.beat) >= earliest:
                return replica
        return None

    def _drop(self, server: NumbersServer, error: Exception) -> None:
        server.drop()
        if server in self._states:
            # Not what the driver says, which may name addresses and users.
            self._states[server].why = type(error).__name__

    async def _beat(self) -> None:
        """For as long as the reader is open: beat at the primary, and see how far the replicas are."""
        pause = min(self._bound / _BEATS_A_BOUND, _LONGEST_PAUSE)
        looking: dict[NumbersServer, asyncio.Task[None]] = {}
        try:
            while True:
                try:
                    await self._beats.beat()
                    for replica in self._states:
                        # One that keeps us waiting keeps none of the others, and not the next beat.
                        if (before := looking.get(replica)) is None or before.done():
                            looking[replica] = self._loop.create_task(self._look(replica))
                    self._tell()
                except Exception:  # a defect, ours or the watch's: without beats no replica would ever be used again
                    self._tell_defect()
                await asyncio.sleep(pause)
        finally:
            for task in looking.values():
                task.cancel()

    async def _look(self, replica: NumbersServer) -> None:
        try:
            await replica.look()
        except Exception as error:  # whatever it is, the next look begins afresh
            self._drop(replica, error)

    def _tell(self) -> None:
        """What has changed, to whoever watches."""
        moment = time.monotonic()
        for replica, state in self._states.items():
            used = replica.is_connected and moment - self._beats.begun(replica.beat) <= self._bound
            if used is not state.used and moment - state.told_at >= _TELL_SECONDS and self._watch is not None:
                state.used, state.told_at = used, moment
                if used:
                    self._watch.replica_used(replica.name)
                else:
                    self._watch.replica_left(replica.name, "behind" if replica.is_connected else state.why)

    def _tell_defect(self) -> None:
        moment = time.monotonic()
        if moment - self._defect_told_at >= _TELL_SECONDS and self._watch is not None:
            self._defect_told_at = moment
            with suppress(Exception):  # the watch may be what is broken
                self._watch.heartbeat_failed()

    async def ping(self) -> None:
        await self._ready.ping()

    async def close(self) -> None:
        tasks = [task for task in (self._reading, self._beating) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in (self._primary, *self._states):
            server.drop()
        await self._beats.close()
        await self._permissions.close()
        await self._ready.close()


def _due(numbers: dict[str, Numbers], now: datetime) -> list[str]:
    """Those of which something falls due by `now` that is not released."""
    return [account for account, one in numbers.items() if one.next_due_at is not None and one.next_due_at <= now]
