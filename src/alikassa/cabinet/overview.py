"""What an operator is shown first: counted over all books, at most once a minute whoever asks."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import msgspec
import sqlalchemy as sa

from alikassa import clock
from alikassa.ledger.model import Merchant
from alikassa.ledger.questions.certificates import (
    Pointed,
    Rotation,
    WatchedCertificate,
    old_certificates,
    rotations,
    signing_with_sha1,
)
from alikassa.ledger.questions.finding import merchants_of
from alikassa.ledger.questions.pending import StuckPayouts, stuck_payouts
from alikassa.ledger.questions.trial_balance import TrialBalance, trial_balance
from alikassa.ledger.schema import accounts, discrepancies, merchants
from alikassa.server.requests.asking import SeenRequest
from alikassa.server.requests.lately import refused_lately

if TYPE_CHECKING:
    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.database import Database

__all__ = ["LATELY", "OLD", "SHA1_LATELY", "STUCK", "Overview", "Overviews", "WorkedOut", "overviews_of"]

#: A payout that waits for longer is stuck.
STUCK = timedelta(days=3)
#: A certificate that is older should be replaced.
OLD = timedelta(days=365)
#: A certificate that signed with SHA-1 since is pointed out.
SHA1_LATELY = timedelta(days=30)
#: How far back refused requests are shown.
LATELY = timedelta(hours=1)

_COUNTED_EVERY = 60.0  # seconds
_REFUSED = 10


class Overview(msgspec.Struct, frozen=True):
    """As counted at `at`; `owners` are the merchants of the accounts that it names."""

    at: datetime
    merchants: int
    accounts: int
    stuck: StuckPayouts
    discrepancies: int
    rotations: Pointed[Rotation]
    old: Pointed[WatchedCertificate]
    sha1: Pointed[WatchedCertificate]
    refused: list[SeenRequest]
    owners: dict[uuid.UUID, Merchant]


class WorkedOut(msgspec.Struct, frozen=True):
    """A trial balance, when it was worked out and how long that took, in seconds."""

    at: datetime
    seconds: float
    balance: TrialBalance


class Overviews:
    """The last overview and the last trial balance of one database, in this process's memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting = asyncio.Lock()
        self._counted_at = 0.0
        self._last: Overview | None = None
        self._summing = asyncio.Lock()
        self.trial_balance: WorkedOut | None = None

    async def now(self) -> Overview:
        """Not older than a minute. Who comes while it is being counted waits for that."""
        async with self._counting:
            if self._last is None or time.monotonic() - self._counted_at > _COUNTED_EVERY:
                self._last = await _count(self._database)
                self._counted_at = time.monotonic()
            return self._last

    @property
    def is_summing(self) -> bool:
        """Whether a trial balance is being worked out: one at a time, it reads every posting."""
        return self._summing.locked()

    async def sum(self) -> None:
        """Work the trial balance out. InvariantError when the books do not balance."""
        async with self._summing:
            began = time.monotonic()
            self.trial_balance = None
            found = await trial_balance(self._database)
            self.trial_balance = WorkedOut(clock.now(), time.monotonic() - began, found)


def overviews_of(visit: Visit) -> Overviews:
    """One for the process."""
    state = visit.request.app.state
    if "overviews" not in state:
        state["overviews"] = Overviews(visit.office.desk.database)
    return cast("Overviews", state["overviews"])


async def _count(database: Database) -> Overview:
    now = clock.now()
    async with database.read() as connection:
        counts = [
            await connection.scalar(sa.select(sa.func.count()).select_from(source)) or 0
            for source in (
                merchants,
                accounts,
                sa.select(discrepancies.c.lane).where(discrepancies.c.closed_sequence.is_(None)).subquery(),
            )
        ]
    stuck = await stuck_payouts(database, STUCK)
    refused = await refused_lately(database, now - LATELY, limit=_REFUSED)
    named = [one.account for one in stuck.oldest] + [one.account for one in refused]
    return Overview(
        at=now,
        merchants=counts[0],
        accounts=counts[1],
        stuck=stuck,
        discrepancies=counts[2],
        rotations=await rotations(database),
        old=await old_certificates(database, now - OLD),
        sha1=await signing_with_sha1(database, now - SHA1_LATELY),
        refused=refused,
        owners=await merchants_of(database, named),
    )
