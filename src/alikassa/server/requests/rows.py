"""The SQL of the log of requests: rows in, old ones out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from alikassa.ledger.bulk import columns_of, find_rows, insert_rows
from alikassa.ledger.schema import accounts, certificate_uses, requests
from alikassa.ledger.waiting import LANE_OF_ENDING
from alikassa.protocol.messages import BALANCE_PATH
from alikassa.server.requests.kept import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.server.requests.kept import KeptRequest
    from alikassa.server.requests.recorder import Key, Use

__all__ = ["MOST_OTHERS", "MOST_VERIFIED", "Ring", "prune", "write_requests", "write_uses"]

#: Requests that are kept of an account: verified ones, and others. Of nobody as many as of verified ones.
MOST_VERIFIED = 1000
MOST_OTHERS = 200

_NOBODY = str(NOBODY)
# What is converted in one go: the balance endpoint waits meanwhile.
_TOGETHER = 200
_LARGEST_COUNT = 2**31 - 1

_ACCOUNT = columns_of(accounts, "lane", "id")
_COLUMNS = columns_of(requests)


class Ring(NamedTuple):
    """The requests of one account that are kept, the verified ones or the others."""

    account: str
    verified: bool

    @property
    def most(self) -> int:
        return MOST_VERIFIED if self.verified or self.account == _NOBODY else MOST_OTHERS


async def write_requests(
    connection: AsyncConnection, kept: Sequence[KeptRequest], counted: Mapping[Key, int]
) -> tuple[dict[Ring, int], dict[Key, int]]:
    """How many rows each ring got, and the counts that found no row to stand on."""
    there = await _existing(
        connection, [row.account for row in kept if not row.verified] + [key.account for key in counted]
    )
    # The last row of nobody's, by outcome: there the counts of all stand that named no account that there is.
    strays = {row.outcome: row for row in kept if not row.verified and row.account not in there}
    more: dict[KeptRequest, int] = {}
    left: dict[Key, int] = {}
    for key, count in counted.items():
        row = None if key.account in there else strays.get(key.outcome)
        if row is not None:
            more[row] = more.get(row, 0) + count
        else:
            key = key if key.account in there else key._replace(account="")
            left[key] = left.get(key, 0) + count
    rings: dict[Ring, int] = {}
    for start in range(0, len(kept), _TOGETHER):
        values = []
        for row in kept[start : start + _TOGETHER]:
            ring = Ring(row.account if row.verified or row.account in there else _NOBODY, row.verified)
            rings[ring] = rings.get(ring, 0) + 1
            values.append(_values(ring, row, row.others + more.get(row, 0)))
        await insert_rows(connection, _COLUMNS, values)
    return rings, left


async def _existing(connection: AsyncConnection, named: Iterable[str]) -> set[str]:
    """Which of these accounts there are. On PostgreSQL this is also the statement that begins the transaction."""
    unique = [account for account in dict.fromkeys(named) if account]
    if not unique:
        await connection.execute(sa.select(sa.literal(1)))
    there: set[str] = set()
    for start in range(0, len(unique), _TOGETHER):
        keys = [(LANE_OF_ENDING[account[-2:]], account) for account in unique[start : start + _TOGETHER]]
        there.update(str(id_) for (id_,) in await find_rows(connection, _ACCOUNT, keys, "t.id"))
    return there


def _values(ring: Ring, row: KeptRequest, others: int) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        *(LANE_OF_ENDING[ring.account[-2:]], ring.account, ring.verified, row.new_id()),
        *(row.at, BALANCE_PATH, row.status, row.outcome.value, row.reason, row.certificate, row.digest),
        *(row.micros, row.address, row.user_agent, min(others, _LARGEST_COUNT)),
    )


_IN_RING = (
    requests.c.lane == sa.bindparam("of_lane"),
    requests.c.account_id == sa.bindparam("of_account"),
    requests.c.verified == sa.bindparam("of_verified"),
)
_PRUNE = sa.delete(requests).where(
    *_IN_RING,
    requests.c.id
    <= sa.select(requests.c.id)
    .where(*_IN_RING)
    .order_by(requests.c.id.desc())
    .offset(sa.bindparam("most", type_=sa.Integer))
    .limit(1)
    .scalar_subquery(),
)


async def prune(connection: AsyncConnection, rings: Sequence[Ring]) -> None:
    """Delete what is older than the newest of each ring, as many as it may have."""
    # In one order, so that workers never lock each other out.
    ordered = sorted(rings)
    for start in range(0, len(ordered), _TOGETHER):
        part = ordered[start : start + _TOGETHER]
        await connection.execute(
            _PRUNE,
            [
                {
                    "of_lane": LANE_OF_ENDING[ring.account[-2:]],
                    "of_account": ring.account,
                    "of_verified": ring.verified,
                    "most": ring.most,
                }
                for ring in part
            ],
        )


async def write_uses(connection: AsyncConnection, uses: Mapping[Use, datetime]) -> None:
    """When certificates last signed, with which digest; never an earlier time than is known."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(certificate_uses)
    later = statement.excluded.last_used_at
    statement = statement.on_conflict_do_update(
        index_elements=[certificate_uses.c.certificate_id, certificate_uses.c.digest],
        set_={"last_used_at": later},
        where=certificate_uses.c.last_used_at < later,
    )
    values = [
        {"certificate_id": use.certificate, "digest": use.digest.value, "last_used_at": at}
        for use, at in sorted(uses.items())
    ]
    for start in range(0, len(values), _TOGETHER):
        await connection.execute(statement, values[start : start + _TOGETHER])
