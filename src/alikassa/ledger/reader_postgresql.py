"""Balance reads from PostgreSQL, by the driver itself: one query at a time serves all that wait for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from alikassa.ledger.due_amounts import Amounts, DueAmounts
from alikassa.ledger.failures import DRIVER_ERRORS, translate
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.waiting import LANE_OF_ENDING, Waiting

if TYPE_CHECKING:
    import asyncpg

    from alikassa.clock import Clock
    from alikassa.ledger.address import Address

__all__ = ["PostgresqlReader"]

# For one joined read, a new connection included if it needs one.
_ANSWER_SECONDS = 3.0
_SETTINGS: dict[str, Any] = {
    "server_settings": {
        "application_name": "alikassa balance",
        "default_transaction_read_only": "on",
        # A few accounts by their keys. Not knowing how few, the planner would read and hash the whole table.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    },
}

_BALANCES = """
SELECT asked.n, a.currency, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       a.sequence, CASE WHEN a.next_due_at <= coalesce($3, clock_timestamp()) THEN coalesce($3, clock_timestamp()) END,
       c.id::text, c.sha1_allowed, c.public_key
FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY AS asked (lane, id, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'
"""

# In one statement, so that the accounts and their lots are of one moment.
_DUE = """
SELECT asked.n, a.sequence, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       coalesce(due.hold, 0)::text, coalesce(due.rolling_reserve, 0)::text,
       (SELECT min(l.due_at) FROM lots l
        WHERE l.lane = a.lane AND l.account_id = a.id AND l.open AND l.due_at > asked.now)
FROM unnest($1::smallint[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS asked (lane, id, now, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
CROSS JOIN LATERAL (
    SELECT sum(l.remaining) FILTER (WHERE l.bucket = 'hold') AS hold,
           sum(l.remaining) FILTER (WHERE l.bucket = 'rolling_reserve') AS rolling_reserve
    FROM lots l WHERE l.lane = a.lane AND l.account_id = a.id AND l.open AND l.due_at <= asked.now
) AS due
"""


class PostgresqlReader:
    """See `AccountReader`.

    The joined read has a connection of its own: a pool would reset it after each use, one more round trip.
    """

    def __init__(self, address: Address, now: Clock | None = None) -> None:
        self._address = address
        self._now = now
        self._due = DueAmounts[datetime]()
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(self._loop)
        self._reading: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None
        self._statement: Any = None

    def find(self, account: str, /) -> asyncio.Future[Standing | None]:
        future = self._waiting.add(account)
        if self._reading is None:
            self._reading = self._loop.create_task(self._read())
        return future

    async def _read(self) -> None:
        try:
            while self._waiting:
                joined = self._waiting.take()
                try:
                    joined.give(await self._find(joined.accounts))
                except DRIVER_ERRORS as error:
                    self._disconnect()
                    joined.fail(translate(self._address, error))
                except Exception as error:  # a defect: whoever waits must be told all the same
                    joined.fail(error)
                except BaseException:
                    joined.cancel()
                    raise
        finally:
            self._reading = None

    async def _find(self, accounts: list[str]) -> dict[str, Standing]:
        lanes = [LANE_OF_ENDING[account[-2:]] for account in accounts]
        found: dict[str, Standing] = {}
        due: dict[str, tuple[int, datetime]] = {}
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await self._connect()
            now = None if self._now is None else self._now()
            rows = await self._statement.fetch(lanes, accounts, now)
            for n, currency, balance, hold, reserve, pending, sequence, at, id_, sha1_allowed, public_key in rows:
                certificates: tuple[ActiveCertificate, ...] = ()
                if id_ is not None:
                    certificates = (ActiveCertificate(id_, sha1_allowed, public_key),)
                account = accounts[n - 1]
                if account in found:
                    certificates = found[account].certificates + certificates
                elif at is not None:
                    due[account] = sequence, at
                found[account] = Standing(currency, balance, hold, reserve, pending, certificates)
            if due:
                for account, amounts in (await self._find_due(connection, due)).items():
                    one = found[account]
                    found[account] = Standing(one.currency, *amounts, one.certificates)
        return found

    async def _find_due(
        self, connection: asyncpg.Connection, due: dict[str, tuple[int, datetime]]
    ) -> dict[str, Amounts]:
        found: dict[str, Amounts] = {}
        unknown: list[str] = []
        for account, (sequence, now) in due.items():
            known = self._due.find(account, sequence, now)
            if known is None:
                unknown.append(account)
            else:
                found[account] = known
        if not unknown:
            return found
        lanes, times = [LANE_OF_ENDING[account[-2:]] for account in unknown], [due[account][1] for account in unknown]
        for n, sequence, *amounts, until in await connection.fetch(_DUE, lanes, unknown, times):
            account = unknown[n - 1]
            found[account] = Amounts.of(*amounts)
            self._due.keep(account, sequence, due[account][1], until, found[account])
        return found

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._address.connect(**_SETTINGS)
            self._statement = await self._connection.prepare(_BALANCES)
        return self._connection

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                connection = await self._address.connect(**_SETTINGS)
                try:
                    await connection.fetchval("SELECT version_num FROM alembic_version")
                finally:
                    connection.terminate()
        except DRIVER_ERRORS as error:
            raise translate(self._address, error) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._disconnect()
