"""The one read behind a balance request: what it asks for, and how requests that wait together share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from alikassa import clock

if TYPE_CHECKING:
    import asyncio

    from alikassa.clock import Clock
    from alikassa.ledger.asking import Asker
    from alikassa.ledger.counts import ReadCounts
    from alikassa.ledger.database import Database

__all__ = ["MOST_JOINED", "AccountReader", "ActiveCertificate", "Standing", "reader_for"]

#: How many requests one read serves at most.
MOST_JOINED = 64


class ActiveCertificate(msgspec.Struct, frozen=True, gc=False):
    """An active payout certificate of the account's merchant. `public_key` is DER."""

    id: str
    sha1_allowed: bool
    public_key: bytes


class Standing(msgspec.Struct, gc=False):
    """An account at one moment: four amounts as text with eight decimals, and who may ask for them.

    What is due by then is in `balance`, whether it is released in the books yet or not. With `requires_fresh` they may
    ask only by requests that are good once. `answer` is for whoever tells the account: what was made of the numbers
    stays beside them.
    """

    currency: str
    balance: str
    hold: str
    rolling_reserve: str
    pending_payouts: str
    certificates: tuple[ActiveCertificate, ...]
    requires_fresh: bool = False
    answer: Any = None

    def with_amounts(self, amounts: tuple[str, str, str, str]) -> Standing:
        """The same account with these four."""
        return Standing(self.currency, *amounts, self.certificates, self.requires_fresh)


class AccountReader(Protocol):
    """Reads from one database, for one event loop.

    Any method may raise DatabaseUnavailableError or another DatabaseError; the next call tries afresh.
    """

    counts: ReadCounts

    def find(self, account: str, asker: Asker | None = None, /) -> asyncio.Future[Standing | None]:
        """The account with this uuid (its text, in small letters), as committed at this moment or later.

        `asker` is the request that it is for, if it is for one.
        """
        ...

    async def ping(self) -> None:
        """Raises when the database cannot answer."""
        ...

    async def close(self) -> None: ...


def reader_for(database: Database, now: Clock | None = None) -> AccountReader:
    """The reader for this database's engine. It connects when it is first asked.

    `now` stands in for the database's own clock, which else says what is due.
    """
    if database.is_postgresql:
        from alikassa.ledger.reader_postgresql import PostgresqlReader

        return PostgresqlReader(database.address, now)
    from alikassa.ledger.reader_sqlite import SqliteReader

    return SqliteReader(database.address, now or clock.now)
