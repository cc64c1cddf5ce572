"""Balance reads from SQLite, by the driver itself and on the calling thread: a read takes less time there than
the hop to another thread would."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alikassa.clock import moment_text
from alikassa.ledger.counts import ReadCounts
from alikassa.ledger.due_amounts import Amounts, Due, DueAmounts, ExactSum
from alikassa.ledger.failures import translate
from alikassa.ledger.kept import KeptRow, KeptRows, put
from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.sqlite_file import open_file
from alikassa.ledger.waiting import LANE_OF_ENDING, MOST_SECONDS, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.clock import Clock
    from alikassa.ledger.address import Address
    from alikassa.ledger.asking import Asker
    from alikassa.ledger.sqlite_file import FileConnection

__all__ = ["SqliteReader"]

# In WAL mode a reader waits for nobody but a writer that recovers the file after a crash. The whole event loop
# waits with it, so not for long.
_BUSY_SECONDS = 0.25
#: Nor longer than this for a read that goes wrong: as long as anybody waits for one to begin.
_READ_SECONDS = MOST_SECONDS
# SQLite looks whether that is over after so many of its steps: a millisecond or so.
_STEPS = 20_000
# How often to see that the file is still the one that was opened: so long after another took its place, the old one is
# still told. To look costs a sixth of what a read does.
_LOOK_SECONDS = 0.02

# Another one as soon as another connection has committed, and from no other cause.
_VERSION = "PRAGMA data_version"
_EARLIEST, _LATEST = "0", "A"


class SqliteReader:
    """See `AccountReader`."""

    def __init__(self, address: Address, now: Clock) -> None:
        self._address = address
        self._now = now
        self._kept = KeptRows[str]()
        self._due = DueAmounts[str]()
        self._file = Path(address.url.database or "")
        self._connection: FileConnection | None = None
        self._look_at = 0.0
        # When the read that is under way did, by the monotonic clock.
        self._begun = 0.0
        self._loop = asyncio.get_running_loop()
        self.counts = ReadCounts()
        self._waiting = Waiting(self._loop, self.counts)

    def find(self, account: str, asker: Asker | None = None, /) -> asyncio.Future[Standing | None]:
        if not self._waiting:
            # Everything that is ready to run in this turn of the loop comes before it, and joins.
            self._loop.call_soon(self._read)
        return self._waiting.add(account, asker)

    def _read(self) -> None:
        while self._waiting:
            joined = self._waiting.take()
            if not joined:
                continue
            try:
                joined.give(self._find(joined.accounts))
            except sqlite3.Error as error:
                self._disconnect()
                joined.fail(translate(self._address, error))
            except Exception as error:  # a defect: whoever waits must be told all the same
                joined.fail(error)

    def _find(self, accounts: list[str]) -> dict[str, Standing]:
        self._begun = begun = time.monotonic()
        # Not between one query and the next: what has been found would be of two files.
        if begun >= self._look_at:
            self._look_again()
        rows = self._kept.at(self._execute(_VERSION, ())[0][0])
        unknown, _ = self._kept.part(accounts)
        if unknown:
            self._read_rows(unknown, rows)
        found: dict[str, Standing] = {}
        now = ""
        for account in accounts:
            row = rows[account]
            if row is None:
                continue
            if row.until is not None:
                now = now or moment_text(self._now())
                if now < row.since:
                    # The clock was set back, and what was due is not.
                    del rows[account]
                    return self._find(accounts)
                if row.until <= now:
                    row = rows[account] = self._count_due(account, row, now)
            found[account] = row.standing
        return found

    def _read_rows(self, accounts: list[str], rows: dict[str, KeptRow[str] | None]) -> None:
        parameters: list[Any] = []
        for account in accounts:
            parameters += (LANE_OF_ENDING[account[-2:]], account)
            rows[account] = None
        for (
            id_,
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
        ) in self._execute(_balances(len(accounts)), parameters):
            certificates: tuple[ActiveCertificate, ...] = ()
            if certificate is not None:
                certificates = (ActiveCertificate(certificate, bool(sha1_allowed), public_key),)
            standing = Standing(currency, balance, hold, reserve, pending, certificates, bool(requires_fresh))
            put(rows, id_, KeptRow(standing, sequence, _EARLIEST, next_due_at))

    def _count_due(self, account: str, row: KeptRow[str], now: str) -> KeptRow[str]:
        """The account with what is due by now, from its lots."""
        due = self._due.find(account, row.sequence, now)
        if due is None:
            lane = LANE_OF_ENDING[account[-2:]]
            ((sequence, *amounts, until),) = self._execute(_DUE, {"lane": lane, "account": account, "now": now})
            due = Due(Amounts.of(*amounts), sequence, now, until or _LATEST)
            self._due.keep(account, due)
        standing = row.standing.with_amounts(due.amounts)
        return KeptRow(standing, row.sequence, due.since, due.until)

    async def ping(self) -> None:
        self._begun = time.monotonic()
        try:
            self._look_again()
            self._execute("SELECT version_num FROM alembic_version", ())
        except sqlite3.Error as error:
            self._disconnect()
            raise translate(self._address, error) from error

    async def close(self) -> None:
        self._disconnect()

    def _execute(self, statement: str, parameters: Sequence[Any] | dict[str, Any]) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        return connection.execute(statement, parameters).fetchall()

    def _look_again(self) -> None:
        """Another file may have taken the place of the one that is open: a restored copy, say."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if self._connection is not None and not self._connection.opened.holds():
            self._disconnect()

    def _connect(self) -> FileConnection:
        # No patience: the loop would wait, and so would whoever is to close his connection.
        connection = open_file(self._file, self._let_go, 0.0, timeout=_BUSY_SECONDS)
        connection.set_progress_handler(lambda: time.monotonic() - self._begun > _READ_SECONDS, _STEPS)
        connection.execute("PRAGMA query_only = ON")
        connection.create_aggregate("exact_sum", 1, ExactSum)  # type: ignore[arg-type]
        return connection

    def _let_go(self) -> None:
        # When the loop has ended, whoever ended it closes the reader.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._disconnect)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._kept.clear()


@cache
def _balances(count: int) -> str:
    # One statement for all that wait: its fixed cost (locks on the log's index) is three times that of a row.
    return (
        "SELECT a.id, a.currency, a.balance, a.hold, a.rolling_reserve, a.pending_payouts,"  # noqa: S608 - marks only
        " a.sequence, a.next_due_at, a.requires_fresh, c.id, c.sha1_allowed, c.public_key"
        f" FROM (VALUES {','.join(['(?,?)'] * count)}) AS asked"
        " CROSS JOIN accounts a ON a.lane = asked.column1 AND a.id = asked.column2"
        " LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'"
    )


# In one statement, so that the account and its lots are of one moment.
_OF_ACCOUNT = "FROM lots l WHERE l.lane = a.lane AND l.account_id = a.id AND l.open"
_DUE = (
    "SELECT a.sequence, a.balance, a.hold, a.rolling_reserve, a.pending_payouts,"  # noqa: S608 - its own parts only
    f" coalesce((SELECT exact_sum(l.remaining) {_OF_ACCOUNT} AND l.due_at <= :now AND l.bucket = 'hold'), '0'),"
    f" coalesce((SELECT exact_sum(l.remaining) {_OF_ACCOUNT} AND l.due_at <= :now"
    " AND l.bucket = 'rolling_reserve'), '0'),"
    f" (SELECT min(l.due_at) {_OF_ACCOUNT} AND l.due_at > :now)"
    " FROM accounts a WHERE a.lane = :lane AND a.id = :account"
)
