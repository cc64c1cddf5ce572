"""Nonces that certificates have used: each is claimed once, by whichever process comes first."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.clock import moment_text
from alikassa.ledger.bulk import columns_of
from alikassa.ledger.ids import lane_of
from alikassa.ledger.schema import nonces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["KEPT", "Nonce", "claim_nonces", "count_nonces", "forget_nonces"]

#: How long after the time that was signed a nonce is kept. Half of it is how long that time is taken; the rest is for
#: servers whose clocks differ.
KEPT = timedelta(seconds=600)

_ALL = columns_of(nonces)
_NAMES = ", ".join(_ALL.names)
_MARKS = f"({', '.join('?' * len(_ALL.names))})"
_CLAIMED = "ON CONFLICT DO NOTHING RETURNING certificate_id, nonce"
_CLAIM_POSTGRESQL = f"INSERT INTO nonces ({_NAMES}) SELECT * FROM {_ALL.unnest()} {_CLAIMED}"  # noqa: S608 - names from the schema
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM nonces WHERE lane = {} AND certificate_id = {} LIMIT {}) AS kept"
_FORGET = (
    "DELETE FROM nonces WHERE (lane, certificate_id, nonce) IN"
    " (SELECT lane, certificate_id, nonce FROM nonces WHERE at < {} ORDER BY at LIMIT {}{})"
)


class Nonce(NamedTuple):
    """A certificate's nonce."""

    certificate: str
    nonce: str


async def claim_nonces(connection: AsyncConnection, wanted: Iterable[tuple[Nonce, datetime]]) -> set[Nonce]:
    """Those of `wanted` that nobody had used, which are used from now on: committed with the transaction.

    Each comes with the time that was signed with it. Another transaction that claims the same at this moment is waited
    for.
    """
    # In one order, so that two of them never wait for each other.
    rows = []
    for nonce, at in sorted(wanted):
        certificate = uuid.UUID(nonce.certificate)
        rows.append((lane_of(certificate), certificate, nonce.nonce, at))
    if not rows:
        return set()
    found: Any
    if connection.dialect.name == "postgresql":
        found = await connection.exec_driver_sql(_CLAIM_POSTGRESQL, _ALL.arrays(rows))
    else:
        statement = f"INSERT INTO nonces ({_NAMES}) VALUES {', '.join([_MARKS] * len(rows))} {_CLAIMED}"  # noqa: S608
        found = await connection.exec_driver_sql(statement, tuple(value for row in _ALL.tuples(rows) for value in row))
    return {Nonce(str(certificate), nonce) for certificate, nonce in found}


async def count_nonces(connection: AsyncConnection, certificate: str, most: int) -> int:
    """How many of a certificate are kept; `most` for more than that."""
    key = uuid.UUID(certificate)
    if connection.dialect.name == "postgresql":
        found = await connection.exec_driver_sql(_COUNT.format("$1", "$2", "$3"), (lane_of(key), key, most))
    else:
        found = await connection.exec_driver_sql(_COUNT.format("?", "?", "?"), (lane_of(key), certificate, most))
    return int(found.scalar_one())


async def forget_nonces(connection: AsyncConnection, now: datetime, most: int) -> int:
    """Delete up to `most` of those that need not be kept any more, the oldest first; how many there were."""
    before = now - KEPT
    if connection.dialect.name == "postgresql":
        statement = _FORGET.format("$1", "$2", " FOR UPDATE SKIP LOCKED")
        return (await connection.exec_driver_sql(statement, (before, most))).rowcount
    return (await connection.exec_driver_sql(_FORGET.format("?", "?", ""), (moment_text(before), most))).rowcount
