"""Balance reads from SQLite, by the driver itself and on the calling thread: a read takes less time there than
the hop to another thread would."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any

from alikassa.ledger.database import translate
from alikassa.ledger.ids import LANES
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alikassa.ledger.database import Address

__all__ = ["SqliteReader"]

# In WAL mode a reader waits for nobody but a writer that recovers the file after a crash. The whole event loop
# waits with it, so not for long.
_BUSY_SECONDS = 0.25


class SqliteReader:
    """See `AccountReader`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: sqlite3.Connection | None = None
        self._waiting = Waiting()

    def find(self, account: str, /) -> asyncio.Future[Standing | None]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # Everything that is ready to run in this turn of the loop comes before it, and joins.
            loop.call_soon(self._read)
        return self._waiting.add(account, loop)

    def _read(self) -> None:
        while self._waiting:
            joined = self._waiting.take()
            try:
                joined.give(self._find(joined.accounts))
            except sqlite3.Error as error:
                self._disconnect()
                joined.fail(translate(self._address, error))
            except Exception as error:  # a defect: whoever waits must be told all the same
                joined.fail(error)

    def _find(self, accounts: list[str]) -> dict[str, Standing]:
        parameters: list[Any] = []
        for account in accounts:
            parameters += (int(account[-2:], 16) % LANES, account)
        found: dict[str, Standing] = {}
        for id_, currency, balance, hold, reserve, pending, certificate, sha1 in self._execute(
            _balances(len(accounts)), parameters
        ):
            certificates: tuple[ActiveCertificate, ...] = (
                (ActiveCertificate(certificate, bool(sha1)),) if certificate else ()
            )
            if id_ in found:
                certificates = found[id_].certificates + certificates
            found[id_] = Standing(currency, balance, hold, reserve, pending, certificates)
        return found

    async def public_keys(self, certificates: Iterable[str], /) -> dict[str, bytes]:
        ids = list(certificates)
        marks = ",".join("?" * len(ids))
        statement = f"SELECT id, public_key FROM certificates WHERE id IN ({marks})"  # noqa: S608 - question marks
        try:
            return dict(self._execute(statement, ids))
        except sqlite3.Error as error:
            self._disconnect()
            raise translate(self._address, error) from error

    async def ping(self) -> None:
        try:
            self._execute("SELECT version_num FROM alembic_version", [])
        except sqlite3.Error as error:
            self._disconnect()
            raise translate(self._address, error) from error

    async def close(self) -> None:
        self._disconnect()

    def _execute(self, statement: str, parameters: list[Any]) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        return connection.execute(statement, parameters).fetchall()

    def _connect(self) -> sqlite3.Connection:
        file = self._address.sqlite_file
        # mode=rw: a file that is gone must not come back empty.
        if file is None or not file.exists():
            raise sqlite3.OperationalError("unable to open database file")
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _active(certificate: str | None, sha1_allowed: int) -> tuple[ActiveCertificate, ...]:
    return () if certificate is None else (ActiveCertificate(certificate, bool(sha1_allowed)),)


@cache
def _balances(count: int) -> str:
    # One statement for all that wait: its fixed cost (locks on the log's index) is three times that of a row.
    return (
        f"WITH asked (lane, id) AS (VALUES {','.join(['(?,?)'] * count)})"  # noqa: S608 - question marks
        " SELECT a.id, a.currency, a.balance, a.hold, a.rolling_reserve, a.pending_payouts, c.id, c.sha1_allowed"
        " FROM asked JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id"
        " LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'"
    )
