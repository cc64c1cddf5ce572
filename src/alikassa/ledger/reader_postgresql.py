"""Balance reads from PostgreSQL, by the driver itself: one query at a time serves all that wait for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from alikassa.ledger.address import backend_bound
from alikassa.ledger.counts import ReadCounts
from alikassa.ledger.distribution.marker import FIND_ENGINE
from alikassa.ledger.due_amounts import Amounts, Due, DueAmounts
from alikassa.ledger.failures import DRIVER_ERRORS, translate
from alikassa.ledger.kept import KeptRow, KeptRows, put
from alikassa.ledger.lane_arrays import arrays_of
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.reader_lanes import LaneReader
from alikassa.ledger.waiting import Waiting

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.address import Address
    from alikassa.ledger.asking import Asker

__all__ = ["PostgresqlReader"]

# For one joined read, a new connection included if it needs one.
_ANSWER_SECONDS = 3.0
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SETTINGS: dict[str, Any] = {
    "server_settings": {
        "application_name": "alikassa balance",
        **backend_bound(_ANSWER_SECONDS),
        "default_transaction_read_only": "on",
        # A few accounts by their keys. Not knowing how few, the planner would read and hash the whole table.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    },
}

# A snapshot is the list of what is committed: two that are alike see the same database. One that is as it was has
# only those accounts read that are not kept, $3 and $4; any other has all of them read, $1 and $2.
_BALANCES = """
SELECT state.version, state.now, asked.n,
       a.currency, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       a.sequence, a.next_due_at, a.requires_fresh, c.id::text, c.sha1_allowed, c.public_key
FROM (SELECT pg_current_snapshot()::text AS version, coalesce($6, clock_timestamp()) AS now) AS state
LEFT JOIN (
    unnest(CASE WHEN pg_current_snapshot()::text = $5 THEN $3::text ELSE $1::text END::smallint[],
           CASE WHEN pg_current_snapshot()::text = $5 THEN $4::text ELSE $2::text END::uuid[])
        WITH ORDINALITY AS asked (lane, id, n)
    JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
    LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'
) ON true
"""

# In one statement, so that the accounts and their lots are of one moment.
_DUE = """
SELECT asked.n, a.sequence, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       coalesce(due.hold, 0)::text, coalesce(due.rolling_reserve, 0)::text,
       (SELECT min(l.due_at) FROM lots l
        WHERE l.lane = a.lane AND l.account_id = a.id AND l.open AND l.due_at > $3)
FROM unnest($1::text::smallint[], $2::text::uuid[]) WITH ORDINALITY AS asked (lane, id, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
CROSS JOIN LATERAL (
    SELECT sum(l.remaining) FILTER (WHERE l.bucket = 'hold') AS hold,
           sum(l.remaining) FILTER (WHERE l.bucket = 'rolling_reserve') AS rolling_reserve
    FROM lots l WHERE l.lane = a.lane AND l.account_id = a.id AND l.open AND l.due_at <= $3
) AS due
"""


class PostgresqlReader:
    """See `AccountReader`.

    The joined read has a connection of its own: a pool would reset it after each use, one more round trip. Where tables
    are spread over nodes, which its first connection tells, another reader takes its place.
    """

    def __init__(self, address: Address, now: Clock | None = None) -> None:
        self._address = address
        self._now = now
        self._kept = KeptRows[datetime]()
        self._due = DueAmounts[datetime]()
        self._loop = asyncio.get_running_loop()
        self.counts = ReadCounts()
        self._waiting = Waiting(self._loop, self.counts)
        self._reading: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None
        self._statement: Any = None
        self._by_lane: LaneReader | None = None

    def find(self, account: str, asker: Asker | None = None, /) -> asyncio.Future[Standing | None]:
        if self._by_lane is not None:
            return self._by_lane.find(account, asker)
        future = self._waiting.add(account, asker)
        if self._reading is None:
            self._reading = self._loop.create_task(self._read())
        return future

    async def _read(self) -> None:
        try:
            while self._waiting:
                joined = self._waiting.take()
                if not joined:
                    continue
                try:
                    joined.give(await self._find_again(joined.accounts))
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

    async def _find_again(self, accounts: list[str]) -> dict[str, Standing]:
        async with asyncio.timeout(_ANSWER_SECONDS):
            kept = self._connection is not None
            try:
                return await self._find(accounts)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # A connection that was lost while it was kept says nothing of the database: a new one is asked.
                if isinstance(error, TimeoutError) or not kept:
                    raise
            self._disconnect()
            return await self._find(accounts)

    async def _find(self, accounts: list[str]) -> dict[str, Standing]:
        connection = await self._connect()
        if self._by_lane is not None:
            standings = await asyncio.gather(*map(self._by_lane.find, accounts))
            return {one: found for one, found in zip(accounts, standings, strict=True) if found is not None}
        rows, now = await self._read_rows(accounts)
        due: list[str] = []
        for account in accounts:
            row = rows[account]
            if row is None or row.until is None or row.since <= now < row.until:
                continue
            if now < row.since:
                # The clock was set back, and what was due is not.
                del rows[account]
                return await self._find(accounts)
            due.append(account)
        if due:
            await self._count_due(connection, due, rows, now)
        return {account: row.standing for account in accounts if (row := rows[account]) is not None}

    async def _read_rows(self, accounts: list[str]) -> tuple[dict[str, KeptRow[datetime] | None], datetime]:
        unknown, known = self._kept.part(accounts)
        every = unknown + known if unknown else known
        read = await self._statement.fetch(
            *arrays_of(every), *arrays_of(unknown), self._kept.version, None if self._now is None else self._now()
        )
        version, now = read[0][:2]
        same = version == self._kept.version
        rows = self._kept.at(version)
        for account in unknown if same else every:
            rows[account] = None
        for (
            _,
            _,
            n,
            currency,
            balance,
            hold,
            reserve,
            pending,
            sequence,
            next_due_at,
            requires_fresh,
            certificate,
            sha1_allowed,
            public_key,
        ) in read:
            if n is None:
                continue
            account = every[n - 1]
            certificates: tuple[ActiveCertificate, ...] = ()
            if certificate is not None:
                certificates = (ActiveCertificate(certificate, sha1_allowed, public_key),)
            standing = Standing(currency, balance, hold, reserve, pending, certificates, requires_fresh)
            put(rows, account, KeptRow(standing, sequence, _EARLIEST, next_due_at))
        return rows, now

    async def _count_due(
        self,
        connection: asyncpg.Connection,
        accounts: list[str],
        rows: dict[str, KeptRow[datetime] | None],
        now: datetime,
    ) -> None:
        """Put what is due by now into these accounts' rows, from their lots."""
        found: dict[str, Due[datetime]] = {}
        unknown: list[str] = []
        for account in accounts:
            row = rows[account]
            assert row is not None  # noqa: S101 - only what was found can be due
            known = self._due.find(account, row.sequence, now)
            if known is None:
                unknown.append(account)
            else:
                found[account] = known
        if unknown:
            for n, sequence, *amounts, until in await connection.fetch(_DUE, *arrays_of(unknown), now):
                account = unknown[n - 1]
                found[account] = Due(Amounts.of(*amounts), sequence, now, until or _LATEST)
                self._due.keep(account, found[account])
        for account, due in found.items():
            row = rows[account]
            assert row is not None  # noqa: S101 - as above
            standing = row.standing.with_amounts(due.amounts)
            rows[account] = KeptRow(standing, row.sequence, due.since, due.until)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._kept.clear()
            self._connection = await self._address.connect(**_SETTINGS)
            if await self._connection.fetchval(FIND_ENGINE) is not None:
                self._by_lane = LaneReader(self._address, self._now, self.counts)
                return self._connection
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
        self._kept.clear()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._by_lane is not None:
            await self._by_lane.close()
        self._disconnect()
