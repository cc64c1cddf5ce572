"""Nonces that certificates have used: each is claimed once, by whichever process comes first."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.clock import moment_text
from alikassa.ledger.bulk import columns_of, is_by_lane
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
    "DELETE FROM nonces WHERE {lane}(lane, certificate_id, nonce) IN"
    " (SELECT lane, certificate_id, nonce FROM nonces WHERE {lane}at < {before} ORDER BY at LIMIT {most}{lock})"
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
    rows = []
    for nonce, at in wanted:
        certificate = uuid.UUID(nonce.certificate)
        rows.append((lane_of(certificate), certificate, nonce.nonce, at))
    # In one order, so that two of them never wait for each other.
    rows.sort()
    if not rows:
        return set()
    found: list[Any] = []
    if connection.dialect.name != "postgresql":
        statement = f"INSERT INTO nonces ({_NAMES}) VALUES {', '.join([_MARKS] * len(rows))} {_CLAIMED}"  # noqa: S608
        values = tuple(value for row in _ALL.tuples(rows) for value in row)
        found += await connection.exec_driver_sql(statement, values)
    elif is_by_lane(connection):
        for lane, one_lane in groupby(rows, lambda row: row[0]):
            values = (lane, *(value for row in one_lane for value in row[1:]))
            found += await connection.exec_driver_sql(_claim_of_lane(len(values) // 3), values)
    else:
        found += await connection.exec_driver_sql(_CLAIM_POSTGRESQL, _ALL.arrays(rows))
    return {Nonce(str(certificate), nonce) for certificate, nonce in found}


def _claim_of_lane(count: int) -> str:
    # Rows as they stand, and not unnested ones: of these the engine sees before it runs them that they are of one lane.
    rows = [f"($1, ${n}, ${n + 1}, ${n + 2})" for n in range(2, 2 + 3 * count, 3)]
    return f"INSERT INTO nonces ({_NAMES}) VALUES {', '.join(rows)} {_CLAIMED}"  # noqa: S608 - marks only


async def count_nonces(connection: AsyncConnection, certificate: str, most: int) -> int:
    """How many of a certificate are kept; `most` for more than that."""
    key = uuid.UUID(certificate)
    if connection.dialect.name == "postgresql":
        found = await connection.exec_driver_sql(_COUNT.format("$1", "$2", "$3"), (lane_of(key), key, most))
    else:
        found = await connection.exec_driver_sql(_COUNT.format("?", "?", "?"), (lane_of(key), certificate, most))
    return int(found.scalar_one())


async def forget_nonces(connection: AsyncConnection, now: datetime, most: int, lanes: Iterable[int]) -> int:
    """Delete up to `most` of those that need not be kept any more, the oldest first; how many there were.

    Where tables are spread over nodes, so many of each of these lanes, and of no other.
    """
    before = now - KEPT
    if connection.dialect.name != "postgresql":
        statement = _FORGET.format(lane="", before="?", most="?", lock="")
        return (await connection.exec_driver_sql(statement, (moment_text(before), most))).rowcount
    marks = {"before": "$1", "most": "$2", "lock": " FOR UPDATE SKIP LOCKED"}
    if not is_by_lane(connection):
        return (await connection.exec_driver_sql(_FORGET.format(lane="", **marks), (before, most))).rowcount
    statement = _FORGET.format(lane="lane = $3 AND ", **marks)
    return sum([(await connection.exec_driver_sql(statement, (before, most, lane))).rowcount for lane in sorted(lanes)])
