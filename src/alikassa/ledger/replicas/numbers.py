"""A server asked for the four numbers and nothing else. Each answer comes with the beat that it is dated by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.ledger.address import CONNECT_SECONDS, backend_bound
from alikassa.ledger.due_amounts import Amounts
from alikassa.ledger.lane_arrays import arrays_of

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    import asyncpg

    from alikassa.ledger.address import Address

__all__ = ["Numbers", "NumbersServer"]

_SETTINGS = {
    "application_name": "alikassa numbers",
    "default_transaction_read_only": "on",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
# The beat is of the same snapshot as the numbers, being of the same statement: whichever server answers, and whatever
# it has caught up with since it was asked last.
_BEAT = "SELECT beat FROM heartbeats WHERE worker = $1"
_NUMBERS = f"""
SELECT asked.n, ({_BEAT.replace("$1", "$3")}), a.sequence, a.next_due_at,
       a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text
FROM unnest($1::text::smallint[], $2::text::uuid[]) WITH ORDINALITY AS asked (lane, id, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
"""  # noqa: S608 - its own parts only
_DUE = f"""
SELECT asked.n, ({_BEAT.replace("$1", "$3")}), a.sequence, a.next_due_at,
       a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       coalesce(due.hold, 0)::text, coalesce(due.rolling_reserve, 0)::text
FROM unnest($1::text::smallint[], $2::text::uuid[]) WITH ORDINALITY AS asked (lane, id, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
CROSS JOIN LATERAL (
    SELECT sum(l.remaining) FILTER (WHERE l.bucket = 'hold') AS hold,
           sum(l.remaining) FILTER (WHERE l.bucket = 'rolling_reserve') AS rolling_reserve
    FROM lots l WHERE l.lane = a.lane AND l.account_id = a.id AND l.open AND l.due_at <= $4
) AS due
"""  # noqa: S608 - its own parts only


class Numbers(NamedTuple):
    """An account's four numbers in a snapshot that has `beat`; what falls due at `next_due_at` is not released."""

    beat: int | None
    sequence: int
    next_due_at: datetime | None
    amounts: Amounts


class NumbersServer:
    """A replica, or the primary in the place of one; it has `seconds` for an answer. Asked by one at a time.

    With `standby` one will do: its answers must be dated. Without, they are the primary's, and need no date.
    Any method but `drop` may raise one of `DRIVER_ERRORS`; `drop` it then.
    """

    def __init__(self, name: str, address: Address, worker: uuid.UUID, seconds: float, *, standby: bool) -> None:
        self.name = name
        self._standby = standby
        self._address = address
        self._worker = worker
        self._seconds = seconds
        #: The newest beat of this worker that it is known to have.
        self.beat: int | None = None
        self._connection: asyncpg.Connection | None = None
        self._numbers: Any = None
        self._due: Any = None
        self._asking = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def look(self) -> None:
        """Connect, if need be, and see which beat it has; not while somebody asks it for more."""
        if self._asking.locked():
            return
        async with self._asking, asyncio.timeout(CONNECT_SECONDS):
            connection = await self._connect()
            self.beat = await connection.fetchval(_BEAT, self._worker)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        settings = _SETTINGS | backend_bound(max(self._seconds, CONNECT_SECONDS))
        connection = await self._address.connect(standby=self._standby, server_settings=settings)
        try:
            self._numbers, self._due = await connection.prepare(_NUMBERS), await connection.prepare(_DUE)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def numbers(self, accounts: list[str]) -> dict[str, Numbers]:
        """Those of these accounts that it has."""
        async with asyncio.timeout(self._seconds), self._asking:
            await self._connect()
            rows = await self._numbers.fetch(*arrays_of(accounts), self._worker)
        found = {accounts[n - 1]: Numbers(beat, sequence, at, Amounts(*four)) for n, beat, sequence, at, *four in rows}
        self._has_beat(found)
        return found

    async def due(self, accounts: list[str], now: datetime) -> dict[str, Numbers]:
        """The same, with what is due by `now` in their balances."""
        async with asyncio.timeout(self._seconds), self._asking:
            await self._connect()
            rows = await self._due.fetch(*arrays_of(accounts), self._worker, now)
        found = {accounts[n - 1]: Numbers(beat, sequence, at, Amounts.of(*six)) for n, beat, sequence, at, *six in rows}
        self._has_beat(found)
        return found

    def _has_beat(self, found: dict[str, Numbers]) -> None:
        if found:
            self.beat = next(iter(found.values())).beat

    def drop(self) -> None:
        """Give up this connection, in whatever state it is."""
        self.beat = None
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
