"""What the questions share: finding an account, a moment in its journal, and exact sums on either engine."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from alikassa.errors import InvalidInputError, InvariantError, NotFoundError
from alikassa.ledger import store
from alikassa.ledger.ids import lane_of
from alikassa.ledger.schema import journal_entries, lots, payouts, postings

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = [
    *("Sum", "entries_of", "find_account", "in_utc", "last_entry", "lots_of"),
    *("payouts_of", "postings_of", "require_limit", "summed", "time_of"),
]

#: Rows that are fetched at a time: each fetch is a hop to another thread, or to the server.
_FETCHED_TOGETHER = 2000


class Sum(NamedTuple):
    """Of some amounts, in units."""

    total: int = 0
    rows: int = 0


async def find_account(connection: AsyncConnection, account: uuid.UUID) -> Account:
    """NotFoundError when there is none."""
    found = await store.find_account(connection, account)
    if found is None:
        raise NotFoundError(f"There is no account {account}.", remedy="List them: alikassa account list")
    return found


async def time_of(database: Database, connection: AsyncConnection, now: Clock | None) -> datetime:
    """The time that stands in for the database's, or the database's own."""
    return now() if now else await database.now(connection)


def in_utc(moment: datetime, name: str) -> datetime:
    """InvalidInputError for a time without a zone, or one that no calendar has in UTC."""
    if moment.tzinfo is None:
        raise InvalidInputError(f"{name} has no time zone.", remedy="Write it as 2026-01-31T12:00:00Z.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError(f"{name} is out of range.", remedy="Write a year from 1 to 9999.") from None


def require_limit(limit: int, least: int, most: int) -> None:
    """InvalidInputError for a limit outside of these."""
    if not least <= limit <= most:
        raise InvalidInputError(f"The limit is {limit}.", remedy=f"Write {least} to {most}.")


def entries_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return journal_entries.c.lane == lane_of(account), journal_entries.c.account_id == account


def postings_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return postings.c.lane == lane_of(account), postings.c.account_id == account


def lots_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return lots.c.lane == lane_of(account), lots.c.account_id == account


def payouts_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return payouts.c.lane == lane_of(account), payouts.c.account_id == account


async def last_entry(connection: AsyncConnection, account: Account, until: datetime, *, before: bool = False) -> int:
    """The number of the account's last entry recorded at `until` or earlier (with `before`: earlier); 0 for none.

    `recorded_at` rises with the sequence: from the end back in growing steps, then halving, by the primary key alone.
    """
    early, late, step = 0, account.sequence + 1, 1
    while late - early > 1:
        middle = max(early + 1, late - step) if step else (early + late) // 2
        recorded_at = await connection.scalar(
            sa.select(journal_entries.c.recorded_at).where(
                *entries_of(account.id), journal_entries.c.sequence == middle
            )
        )
        if recorded_at is None:
            raise InvariantError(f"Account {account.id} has no entry {middle}.", remedy="Run: alikassa books verify")
        if recorded_at < until or (recorded_at == until and not before):
            early, step = middle, 0
        else:
            late, step = middle, step * 2
    return early


async def summed(
    connection: AsyncConnection,
    by: Sequence[sa.ColumnElement[Any]],
    amount: sa.ColumnElement[int],
    source: sa.FromClause,
    *where: sa.ColumnElement[bool],
    in_order: Sequence[sa.ColumnElement[Any]] = (),
) -> dict[tuple[Any, ...], Sum]:
    """The sums of `amount` by these columns. SQLite's own sums of text go through floats: there, Python adds.

    `in_order` is the order in which SQLite shall read the rows, for the sake of an index.
    """
    if connection.dialect.name == "postgresql":
        # As text: a total of many accounts may exceed what one may have, and Decimal what its context rounds to.
        columns = (*by, sa.cast(sa.func.sum(amount), sa.Text), sa.func.count())
        found = await connection.execute(sa.select(*columns).select_from(source).where(*where).group_by(*by))
        return {tuple(row[:-2]): Sum(int(row[-2].replace(".", "")), row[-1]) for row in found if row[-1]}
    sums: dict[tuple[Any, ...], tuple[int, int]] = {}
    statement = sa.select(*by, amount).select_from(source).where(*where).order_by(*in_order)
    async with connection.stream(statement) as rows:
        async for part in rows.partitions(_FETCHED_TOGETHER):
            for *key, one in part:
                total, count = sums.get(tuple(key), (0, 0))
                sums[tuple(key)] = (total + one, count + 1)
    return {key: Sum(*one) for key, one in sums.items()}
