"""The SQL of the log of requests: rows in, old ones out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from alikassa.ledger.bulk import ReadyRows, columns_of, find_rows
from alikassa.ledger.schema import accounts, certificate_uses, requests
from alikassa.ledger.waiting import LANE_OF_ENDING
from alikassa.protocol.messages import BALANCE_PATH
from alikassa.server.requests.kept import NOBODY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.server.requests.kept import KeptRequest
    from alikassa.server.requests.recorder import Key, Use

__all__ = [
    *("MOST_OTHERS", "MOST_VERIFIED", "Part", "Ready", "Ring", "find_accounts", "make_ready", "part_by_lane", "prune"),
    "write_uses",
]

#: Requests that are kept of an account: verified ones, and others. Of nobody as many as of verified ones.
MOST_VERIFIED = 1000
MOST_OTHERS = 200

_NOBODY = str(NOBODY)
# Accounts, rings or uses of one statement.
_TOGETHER = 200
# Rows that are made in one go, and the pause after them, in seconds: the balance endpoint waits meanwhile.
_AT_A_TIME = 10
_PAUSE_SECONDS = 0.002
_BEGIN = sa.select(sa.literal(1))
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


class Part(NamedTuple):
    """Rows, and counts that have none to stand on."""

    rows: list[KeptRequest]
    counted: dict[Key, int]

    def strangers(self) -> list[str]:
        """The accounts that were named by what was not verified. Whether there are such is to be found out."""
        named = [row.account for row in self.rows if not row.verified] + [key.account for key in self.counted]
        return [account for account in dict.fromkeys(named) if account]

    def of(self, there: set[str]) -> Part:
        """What is about these accounts."""
        return Part(
            [row for row in self.rows if row.verified or row.account in there],
            {key: count for key, count in self.counted.items() if key.account in there},
        )

    def take_strays(self, of: Part, there: set[str]) -> None:
        """From now on what `of` has about none of these accounts is here, and nobody's."""
        for row in of.rows:
            if not row.verified and row.account not in there:
                row.account = ""
                self.rows.append(row)
        for key, count in of.counted.items():
            if key.account not in there:
                key = key._replace(account="")
                self.counted[key] = self.counted.get(key, 0) + count


def part_by_lane(kept: Sequence[KeptRequest], counted: Mapping[Key, int]) -> tuple[dict[int, Part], Part]:
    """What names an account, by its lane, and what names none."""
    lanes: dict[int, Part] = {}
    nobodys = Part([], {})

    def part(account: str) -> Part:
        return lanes.setdefault(LANE_OF_ENDING[account[-2:]], Part([], {})) if account else nobodys

    for row in kept:
        part(row.account).rows.append(row)
    for key, count in counted.items():
        part(key.account).counted[key] = count
    return lanes, nobodys


class Ready(NamedTuple):
    """Rows as their statement takes them, how many each ring gets, and the counts that found no row to stand on."""

    rows: ReadyRows
    rings: dict[Ring, int]
    left: dict[Key, int]

    async def insert(self, connection: AsyncConnection) -> None:
        if connection.dialect.name == "postgresql":
            await connection.execute(_BEGIN)
        await self.rows.insert(connection)


async def make_ready(part: Part, there: set[str], *, postgresql: bool) -> Ready:
    """To be done before the transaction: a few rows at a time, since the balance endpoint waits for as long as these
    take, and with pauses, through which nobody should hold a lock.

    `there` are the accounts that there are, of those that are named by what was not verified.
    """
    # The last row of nobody's, by outcome: there the counts of all stand that named no account that there is.
    strays = {row.outcome: row for row in part.rows if not row.verified and row.account not in there}
    more: dict[KeptRequest, int] = {}
    left: dict[Key, int] = {}
    for key, count in part.counted.items():
        row = None if key.account in there else strays.get(key.outcome)
        if row is not None:
            more[row] = more.get(row, 0) + count
        else:
            key = key if key.account in there else key._replace(account="")
            left[key] = left.get(key, 0) + count
    rings: dict[Ring, int] = {}
    ready = ReadyRows(_COLUMNS, postgresql=postgresql)
    for start in range(0, len(part.rows), _AT_A_TIME):
        values = []
        for row in part.rows[start : start + _AT_A_TIME]:
            ring = Ring(row.account if row.verified or row.account in there else _NOBODY, row.verified)
            rings[ring] = rings.get(ring, 0) + 1
            values.append(_values(ring, row, row.others + more.get(row, 0)))
        ready.add(values)
        await asyncio.sleep(_PAUSE_SECONDS)
    return Ready(ready, rings, left)


async def find_accounts(connection: AsyncConnection, named: Sequence[str]) -> set[str]:
    """Which of these accounts there are."""
    there: set[str] = set()
    for start in range(0, len(named), _TOGETHER):
        keys = [(LANE_OF_ENDING[account[-2:]], account) for account in named[start : start + _TOGETHER]]
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
