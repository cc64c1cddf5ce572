"""What merchants see: their last requests, and when their certificates last signed."""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvalidInputError
from alikassa.ledger.ids import lane_of
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.reading import require_limit
from alikassa.ledger.schema import certificate_uses, requests
from alikassa.protocol.signatures import Digest
from alikassa.server.requests.kept import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alikassa.ledger.database import Database

__all__ = [
    *("MOST_ACCOUNTS", "MOST_REQUESTS", "CertificateUse", "RequestPage", "SeenRequest"),
    *("requests_of", "seen_request", "uses_of"),
]

#: Requests of one page at most, and accounts that are asked for together.
MOST_REQUESTS = 1000
MOST_ACCOUNTS = 1000
# Parts of one statement; SQLite takes 500.
_TOGETHER = 100


class SeenRequest(msgspec.Struct, frozen=True):
    """One request. `others` like it, of the same account and outcome, came about then and were only counted.

    `micros` is how long it took, in microseconds. `digest` is "" when nothing is known to have signed, and `reason`
    when there is none, or it was not found out.
    """

    id: uuid.UUID
    at: datetime
    account: uuid.UUID
    verified: bool
    endpoint: str
    status: int
    outcome: Outcome
    reason: str
    certificate: uuid.UUID | None
    digest: str
    micros: int
    address: str
    user_agent: str
    others: int


class RequestPage(msgspec.Struct, frozen=True):
    """Requests, the newest first. `cursor` is None at the end."""

    requests: list[SeenRequest]
    cursor: str | None


class CertificateUse(msgspec.Struct, frozen=True):
    """When a certificate last signed a request with this digest, right to about a minute."""

    certificate: uuid.UUID
    digest: Digest
    last_used_at: datetime


async def requests_of(
    database: Database,
    accounts: Sequence[uuid.UUID],
    *,
    verified: bool | None = None,
    outcome: Outcome | None = None,
    certificate: uuid.UUID | None = None,
    after: str | None = None,
    limit: int = 100,
) -> RequestPage:
    """The last requests that named one of these accounts; only the verified ones, or only the others; only those of
    an outcome, or of a certificate. The nil uuid is for all that named no account that there is.

    `after` is the cursor of the page before, of the same question. InvalidInputError for a cursor that is not this
    question's, for a limit outside 1 to `MOST_REQUESTS`, and for more than `MOST_ACCOUNTS` accounts.
    """
    require_limit(limit, 1, MOST_REQUESTS)
    if len(accounts) > MOST_ACCOUNTS:
        raise InvalidInputError(f"These are {len(accounts)} accounts.", remedy=f"Ask for at most {MOST_ACCOUNTS}.")
    wanted = sorted(set(accounts))
    question = ("requests", *wanted, verified, outcome, certificate)
    position = None if after is None else read_cursor(after, question, _Position)
    rings = list(product(wanted, (True, False) if verified is None else (verified,)))
    conditions = []
    if outcome is not None:
        conditions.append(requests.c.outcome == outcome.value)
    if certificate is not None:
        conditions.append(requests.c.certificate_id == certificate)
    if position is not None:
        conditions.append(requests.c.id < position.id)
    found: list[Any] = []
    async with database.read() as connection:
        for start in range(0, len(rings), _TOGETHER):
            parts = [_newest(ring, conditions, limit + 1) for ring in rings[start : start + _TOGETHER]]
            found += (await connection.execute(sa.union_all(*parts))).all()
    found.sort(key=lambda row: row.id, reverse=True)
    seen = [seen_request(row) for row in found[:limit]]
    cursor = write_cursor(question, _Position(seen[-1].id)) if len(found) > limit else None
    return RequestPage(seen, cursor)


async def uses_of(database: Database, certificates: Iterable[uuid.UUID]) -> list[CertificateUse]:
    """The uses of these certificates, the latest first. One that never signed has none."""
    wanted = sorted(set(certificates))
    found: list[CertificateUse] = []
    async with database.read() as connection:
        for start in range(0, len(wanted), _TOGETHER):
            part = certificate_uses.c.certificate_id.in_(wanted[start : start + _TOGETHER])
            rows = (await connection.execute(sa.select(certificate_uses).where(part))).all()
            found += [CertificateUse(row.certificate_id, Digest(row.digest), row.last_used_at) for row in rows]
    return sorted(found, key=lambda use: use.last_used_at, reverse=True)


class _Position(msgspec.Struct, array_like=True):
    """The request with which a page ended."""

    id: uuid.UUID


def _newest(ring: tuple[uuid.UUID, bool], conditions: Sequence[sa.ColumnElement[bool]], limit: int) -> sa.Select[Any]:
    """The newest of one ring: by the primary key from its end, so that a page reads little more than itself."""
    account, verified = ring
    of_ring = (
        *(requests.c.lane == lane_of(account), requests.c.account_id == account),
        requests.c.verified == verified,
    )
    newest = sa.select(requests).where(*of_ring, *conditions).order_by(requests.c.id.desc()).limit(limit)
    return sa.select(newest.subquery())


def seen_request(row: Any) -> SeenRequest:
    """From a row of the table."""
    return SeenRequest(
        id=row.id,
        at=row.at,
        account=row.account_id,
        verified=row.verified,
        endpoint=row.endpoint,
        status=row.status,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        certificate=row.certificate_id,
        digest=row.digest,
        micros=row.micros,
        address=row.address,
        user_agent=row.user_agent,
        others=row.others,
    )
