"""Balance reads from a database whose tables are spread over nodes: those of one lane, so of one shard, are one query.

Nothing is kept from one read to the next. What `PostgresqlReader` goes by, that two snapshots which are alike see the
same database, holds on one node only: the node that answers does not know what another has committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from alikassa.ledger.address import backend_bound
from alikassa.ledger.counts import ReadCounts
from alikassa.ledger.due_amounts import Amounts
from alikassa.ledger.failures import DRIVER_ERRORS, translate
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.waiting import LANE_OF_ENDING, Joined, Waiting

if TYPE_CHECKING:
    import asyncpg

    from alikassa.clock import Clock
    from alikassa.ledger.address import Address
    from alikassa.ledger.asking import Asker

__all__ = ["LaneReader"]

#: Lanes that are read at the same time, each over a connection of its own.
_TOGETHER = 8
_ANSWER_SECONDS = 3.0
_SETTINGS: dict[str, Any] = {
    # No plan for all lanes alike: the engine needs the lane to know which node to ask.
    "server_settings": {
        "application_name": "alikassa balance",
        **backend_bound(_ANSWER_SECONDS),
        "default_transaction_read_only": "on",
        "jit": "off",
        "plan_cache_mode": "force_custom_plan",
    },
}

# In one statement, so that an account, its certificates and its lots are of one moment. The time is that of the node
# that has the lane.
_BALANCES = """
SELECT asked.id::text, a.currency, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       coalesce(due.hold, 0)::text, coalesce(due.rolling_reserve, 0)::text, a.requires_fresh,
       c.id::text, c.sha1_allowed, c.public_key
FROM unnest($2::text::uuid[]) AS asked (id)
JOIN accounts a ON a.lane = $1 AND a.id = asked.id
LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'
LEFT JOIN LATERAL (
    SELECT sum(l.remaining) FILTER (WHERE l.bucket = 'hold') AS hold,
           sum(l.remaining) FILTER (WHERE l.bucket = 'rolling_reserve') AS rolling_reserve
    FROM lots l
    WHERE l.lane = $1 AND l.account_id = a.id AND l.open AND l.due_at <= coalesce($3, clock_timestamp())
      AND a.next_due_at <= coalesce($3, clock_timestamp())
) AS due ON true
"""


class LaneReader:
    """See `AccountReader`, of which it has `find` and `close`."""

    def __init__(self, address: Address, now: Clock | None, counts: ReadCounts | None = None) -> None:
        self._counts = counts or ReadCounts()
        self._address = address
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, Waiting] = {}
        #: Lanes that somebody waits for, the one that has waited longest first.
        self._lanes: deque[int] = deque()
        self._reading: set[asyncio.Task[None]] = set()
        self._idle: list[asyncpg.Connection] = []

    def find(self, account: str, asker: Asker | None = None) -> asyncio.Future[Standing | None]:
        lane = LANE_OF_ENDING[account[-2:]]
        waiting = self._waiting.setdefault(lane, Waiting(self._loop, self._counts))
        if not waiting:
            self._lanes.append(lane)
        future = waiting.add(account, asker)
        if len(self._reading) < _TOGETHER:
            task = self._loop.create_task(self._read())
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        return future

    async def _read(self) -> None:
        while self._lanes:
            lane = self._lanes.popleft()
            joined = self._waiting[lane].take()
            if self._waiting[lane]:
                self._lanes.append(lane)
            if not joined:
                continue
            try:
                await self._answer(lane, joined)
            except DRIVER_ERRORS as error:
                joined.fail(translate(self._address, error))
            except Exception as error:  # a defect: whoever waits must be told all the same
                joined.fail(error)
            except BaseException:
                joined.cancel()
                raise

    async def _answer(self, lane: int, joined: Joined) -> None:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await self._connect()
            try:
                asked = f"{{{','.join(joined.accounts)}}}"
                rows = await connection.fetch(_BALANCES, lane, asked, None if self._now is None else self._now())
            except BaseException:
                connection.terminate()
                raise
        self._idle.append(connection)
        joined.give(_standings(rows))

    async def _connect(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._address.connect(**_SETTINGS)

    async def close(self) -> None:
        for task in list(self._reading):
            task.cancel()
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()


def _standings(rows: list[Any]) -> dict[str, Standing]:
    """A row for each certificate, or one without; whoever is not found has none."""
    found: dict[str, Standing] = {}
    for id_, currency, *amounts, fresh, certificate, sha1_allowed, public_key in rows:
        certificates = found[id_].certificates if id_ in found else ()
        if certificate is not None:
            certificates += (ActiveCertificate(certificate, sha1_allowed, public_key),)
        found[id_] = Standing(currency, *Amounts.of(*amounts), certificates, fresh)
    return found
