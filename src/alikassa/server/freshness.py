"""Is this signed request good once, and is this the once? Looked at only after its signature was verified.

A stamp (`alikassa.protocol.freshness`) that is there is always checked. An account may require one.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alikassa import clock
from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger.failures import translated
from alikassa.ledger.nonces import Nonce, claim_nonces, count_nonces, forget_nonces
from alikassa.ledger.waiting import LANE_OF_ENDING
from alikassa.protocol.freshness import FIELDS, TOLERANCE_SECONDS, read_stamp
from alikassa.server.answers import Answer, invalid, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.protocol.freshness import Stamp

__all__ = ["MALFORMED_STAMPS", "MOST_NONCES", "Freshness", "Refusal", "Stale"]

#: Nonces of one certificate that are kept at once. With ten minutes each, that is 160 requests a second.
MOST_NONCES = 100_000
# Nonces that are written together, and such as may wait for it.
_TOGETHER = 200
_MOST_WAITING = 2000
# Where tables are spread over nodes the lanes share so many writers, each busy with one lane at a time.
_WRITERS_BY_LANE = 8
# For one writing, a new connection included if it needs one.
_WRITE_SECONDS = 3.0
# How long a stop waits for a writing that is under way: longer than SQLite's driver waits for a lock.
_CLOSE_SECONDS = 8.0
# After how many nonces of a certificate its kept ones are counted anew, by each worker; and, when there were too many,
# how soon, in seconds.
_COUNT_EVERY = 1000
_COUNT_AGAIN_SECONDS = 1.0
_MOST_COUNTED = 10_000


class Stale(StrEnum):
    """Why a request that was signed well is not taken all the same."""

    NOT_STAMPED = "not_stamped"
    WRONG_STAMP = "wrong_stamp"
    OTHER_ACCOUNT = "other_account"
    WRONG_TIME = "wrong_time"
    USED_NONCE = "used_nonce"
    TOO_MANY_NONCES = "too_many_nonces"


#: Of these, the request itself has to be written otherwise.
MALFORMED_STAMPS = frozenset({Stale.NOT_STAMPED, Stale.WRONG_STAMP})


class Refusal(NamedTuple):
    """The reason, and the answer."""

    reason: Stale
    answer: Answer


class Freshness:
    """For one worker. Nonces are kept in the database, so that all workers agree; `now` is this machine's clock."""

    def __init__(self, database: Database, now: Clock = clock.now) -> None:
        self._now = now
        self._database = database
        self._nonces = [_Nonces(database, now)]

    def read(self, body: object, account: str, *, required: bool) -> Stamp | Refusal | None:
        """The stamp of a decoded body that was signed for this account, which `claim` has to be asked about; or what is
        wrong with it. None when there is none, and need not be."""
        stamp, errors = read_stamp(body)
        if errors:
            return _refusal(Stale.WRONG_STAMP, errors)
        if stamp is None:
            return _refusal(Stale.NOT_STAMPED, {name: [_NOT_STAMPED] for name in FIELDS}) if required else None
        if stamp.account != account:
            return _refusal(Stale.OTHER_ACCOUNT, {"account": [_OTHER_ACCOUNT]})
        off = stamp.timestamp - self._now().timestamp()
        if abs(off) > TOLERANCE_SECONDS:
            return _refusal(Stale.WRONG_TIME, {"timestamp": [_wrong_time(off)]})
        return stamp

    async def claim(self, stamp: Stamp, certificate: str) -> Refusal | None:
        """Keep the nonce that this certificate signed, or say why not. None: it is the first time.

        DatabaseError when it cannot be kept: then the request must not be answered.
        """
        at = datetime.fromtimestamp(stamp.timestamp, UTC)
        if self._nonces[0].by_lane and len(self._nonces) == 1:
            # One transaction after another would have all nodes wait for each.
            more = _WRITERS_BY_LANE - 1
            self._nonces += [_Nonces(self._database, self._now, by_lane=True) for _ in range(more)]
        nonces = self._nonces[_lane(certificate) % len(self._nonces)]
        claimed = await nonces.claim(Nonce(certificate, stamp.nonce), at)
        if claimed is _Claimed.USED:
            return _refusal(Stale.USED_NONCE, {"nonce": [_USED]})
        if claimed is _Claimed.TOO_MANY:
            later = [("retry-after", "1")]
            return Refusal(
                Stale.TOO_MANY_NONCES,
                problem(429, "Too many requests.", "nonce", remedy=_TOO_MANY, headers=later),
            )
        return None

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self._nonces))


class _Claimed(Enum):
    NEW = "new"
    USED = "used"
    TOO_MANY = "too many"


class _Waiting(NamedTuple):
    at: datetime
    claimed: asyncio.Future[_Claimed]


class _Counted:
    """How many nonces of a certificate are kept, as far as this worker knows."""

    __slots__ = ("added", "kept", "when")

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.added = 0
        self.when = time.monotonic()

    @property
    def is_old(self) -> bool:
        if self.kept + self.added >= MOST_NONCES:
            return time.monotonic() - self.when >= _COUNT_AGAIN_SECONDS
        return self.added >= _COUNT_EVERY


class _Nonces:
    """Claims nonces. Those that wait at the same moment are written together: a commit takes longer than all else."""

    def __init__(self, database: Database, now: Clock, *, by_lane: bool = False) -> None:
        self._database = database
        self._now = now
        self._known_by_lane = by_lane
        self._writer = database.writer()
        self._waiting: dict[Nonce, _Waiting] = {}
        self._counted: dict[str, _Counted] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def by_lane(self) -> bool:
        """Whether a transaction should stay on one lane, as far as is known."""
        return self._known_by_lane or self._writer.by_lane

    async def claim(self, nonce: Nonce, at: datetime) -> _Claimed:
        if nonce in self._waiting:
            return _Claimed.USED
        if len(self._waiting) >= _MOST_WAITING:
            raise DatabaseUnavailableError("Too many nonces wait to be written.")
        loop = asyncio.get_running_loop()
        waiting = self._waiting[nonce] = _Waiting(at, loop.create_future())
        if self._task is None:
            self._task = loop.create_task(self._work())
        # SQLite's driver cannot be interrupted while it waits for another's lock; whoever asks is told before.
        async with translated(self._database.address), asyncio.timeout(_WRITE_SECONDS):
            return await waiting.claimed

    async def _work(self) -> None:
        try:
            while self._waiting:
                part = self._take()
                try:
                    claimed = await self._write({nonce: one.at for nonce, one in part.items()})
                except Exception as error:  # whoever waits must be told, of a defect too
                    for one in part.values():
                        if not one.claimed.done():
                            one.claimed.set_exception(error)
                except BaseException:
                    for one in part.values():
                        one.claimed.cancel()
                    raise
                else:
                    for nonce, one in part.items():
                        if not one.claimed.done():
                            one.claimed.set_result(claimed[nonce])
        finally:
            self._task = None

    def _take(self) -> dict[Nonce, _Waiting]:
        """Those that are written next: they have waited longest."""
        first = list(self._waiting)
        if self.by_lane:
            lane = _lane(first[0].certificate)
            first = [nonce for nonce in first if _lane(nonce.certificate) == lane]
        return {nonce: self._waiting.pop(nonce) for nonce in first[:_TOGETHER]}

    async def _write(self, wanted: Mapping[Nonce, datetime]) -> dict[Nonce, _Claimed]:
        async with (
            translated(self._database.address),
            asyncio.timeout(_WRITE_SECONDS),
            self._writer.transaction() as connection,
        ):
            await self._count(connection, {nonce.certificate for nonce in wanted})
            taken = {nonce: at for nonce, at in wanted.items() if self._is_room(nonce.certificate)}
            new = await claim_nonces(connection, taken.items())
            # More than were written, so that what is kept shrinks to what has to be.
            lanes = {_lane(nonce.certificate) for nonce in wanted}
            await forget_nonces(connection, self._now(), 2 * len(wanted) + 100, lanes)
        for nonce in new:
            self._counted[nonce.certificate].added += 1
        return {
            nonce: _Claimed.NEW if nonce in new else _Claimed.USED if nonce in taken else _Claimed.TOO_MANY
            for nonce in wanted
        }

    async def _count(self, connection: AsyncConnection, certificates: set[str]) -> None:
        if len(self._counted) > _MOST_COUNTED:
            self._counted.clear()
        for certificate in certificates:
            counted = self._counted.get(certificate)
            if counted is None or counted.is_old:
                self._counted[certificate] = _Counted(await count_nonces(connection, certificate, MOST_NONCES))

    def _is_room(self, certificate: str) -> bool:
        counted = self._counted[certificate]
        return counted.kept + counted.added < MOST_NONCES

    async def close(self) -> None:
        """Wait for what is being written: a driver that is cut off in the middle may keep its connection, and us."""
        if self._task is not None:
            task = self._task
            await asyncio.wait([task], timeout=_CLOSE_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _lane(certificate: str) -> int:
    return LANE_OF_ENDING[certificate[-2:]]


def _refusal(reason: Stale, errors: Mapping[str, list[str]]) -> Refusal:
    return Refusal(reason, invalid(errors))


def _wrong_time(off: float) -> str:
    return (
        f"The body's timestamp is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this server's clock;"
        f" {TOLERANCE_SECONDS} s are taken. Set the clock of the machine that signs, and sign a new body each time."
    )


_NOT_STAMPED = (
    "This account takes only requests that are good once. Put account, timestamp and nonce into the signed body."
)
_OTHER_ACCOUNT = "The body's account is not the one in the Account header. Sign a body for each account."
_USED = "This nonce was used with this certificate before. Make a new body, and sign it, for each request."
_TOO_MANY = "This certificate has used as many nonces as are kept at once. Ask less often."
