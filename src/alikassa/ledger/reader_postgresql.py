"""Balance reads from PostgreSQL, by the driver itself: one query at a time serves all that wait for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from alikassa.ledger.database import CONNECT_SECONDS, translate
from alikassa.ledger.ids import LANES
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alikassa.ledger.database import Address

__all__ = ["PostgresqlReader"]

_ANSWER_SECONDS = 3.0
_SETTINGS: dict[str, Any] = {
    "timeout": CONNECT_SECONDS,
    "command_timeout": _ANSWER_SECONDS,
    "server_settings": {"default_transaction_read_only": "on", "application_name": "alikassa balance"},
}

_BALANCES = """
SELECT asked.n, a.currency, a.balance::text, a.hold::text, a.rolling_reserve::text, a.pending_payouts::text,
       c.id::text, c.sha1_allowed
FROM unnest($1::smallint[], $2::uuid[]) WITH ORDINALITY AS asked (lane, id, n)
JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'
"""


class PostgresqlReader:
    """See `AccountReader`.

    The joined read has a connection of its own: a pool would reset it after each use, one more round trip.
    """

    def __init__(self, address: Address, pool: Any) -> None:
        self._address = address
        self._pool = pool
        self._waiting = Waiting()
        self._reading: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._statement: Any = None

    @classmethod
    async def open(cls, address: Address) -> Self:
        try:
            pool = await asyncpg.create_pool(address.dsn, min_size=1, max_size=1, **_SETTINGS)
        except _FAILURES as error:
            raise translate(address, error) from error
        return cls(address, pool)

    def find(self, account: str, /) -> asyncio.Future[Standing | None]:
        loop = asyncio.get_running_loop()
        future = self._waiting.add(account, loop)
        if self._reading is None:
            self._reading = loop.create_task(self._read())
        return future

    async def _read(self) -> None:
        try:
            while self._waiting:
                joined = self._waiting.take()
                try:
                    joined.give(await self._find(joined.accounts))
                except _FAILURES as error:
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
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._address.dsn, **_SETTINGS)
            self._statement = await self._connection.prepare(_BALANCES)
        lanes = [int(account[-2:], 16) % LANES for account in accounts]
        found: dict[str, Standing] = {}
        for n, currency, balance, hold, reserve, pending, certificate, sha1 in await self._statement.fetch(
            lanes, accounts
        ):
            certificates: tuple[ActiveCertificate, ...] = (ActiveCertificate(certificate, sha1),) if certificate else ()
            account = accounts[n - 1]
            if account in found:
                certificates = found[account].certificates + certificates
            found[account] = Standing(currency, balance, hold, reserve, pending, certificates)
        return found

    async def public_keys(self, certificates: Iterable[str], /) -> dict[str, bytes]:
        statement = "SELECT id::text, public_key FROM certificates WHERE id = ANY($1::uuid[])"
        try:
            return dict(await self._pool.fetch(statement, list(certificates)))
        except _FAILURES as error:
            raise translate(self._address, error) from error

    async def ping(self) -> None:
        try:
            await self._pool.fetchval("SELECT version_num FROM alembic_version")
        except _FAILURES as error:
            raise translate(self._address, error) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._disconnect()
        try:
            await asyncio.wait_for(self._pool.close(), _ANSWER_SECONDS)
        except TimeoutError:
            self._pool.terminate()


# The last is what a connection says that was cut off while it was handed out.
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, asyncpg.InternalClientError)
