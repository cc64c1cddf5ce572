"""What the questions share: finding an account, its time zone, the time, and which rows are an account's."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from alikassa.errors import InvalidInputError, NotFoundError
from alikassa.ledger import rows, store
from alikassa.ledger.bulk import columns_of, find_rows, is_by_lane
from alikassa.ledger.ids import lane_of
from alikassa.ledger.schema import accounts as accounts_table
from alikassa.ledger.schema import journal_entries, lots, payouts, policies, postings
from alikassa.ledger.types import Uuid

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = [
    *(
        "by_index_of",
        "entries_of",
        "find_account",
        "find_each_account",
        "in_utc",
        "lots_of",
        "payouts_of",
        "postings_of",
        "require_limit",
    ),
    *("of_accounts", "time_of", "time_zones"),
]


_ACCOUNT = columns_of(accounts_table, "lane", "id")
_POLICY = columns_of(policies, "lane", "account_id", "version")


async def find_account(connection: AsyncConnection, account: uuid.UUID) -> Account:
    """NotFoundError when there is none."""
    found = await store.find_account(connection, account)
    if found is None:
        raise NotFoundError(f"There is no account {account}.", remedy="List them: alikassa account list")
    return found


async def find_each_account(connection: AsyncConnection, accounts: Iterable[uuid.UUID]) -> list[Account]:
    """All of them, in one statement. NotFoundError when one is not there."""
    keys = {one: (lane_of(one), one) for one in accounts}
    found = [rows.account(row) for row in await find_rows(connection, _ACCOUNT, list(keys.values()), rows.ACCOUNT)]
    missing = keys.keys() - {one.id for one in found}
    if missing:
        raise NotFoundError(f"There is no account {min(missing)}.", remedy="List them: alikassa account list")
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


def require_limit(limit: int, least: int, most: int, name: str = "limit") -> None:
    """InvalidInputError for a limit outside of these."""
    if not least <= limit <= most:
        raise InvalidInputError(f"The {name} is {limit}.", remedy=f"Write {least} to {most}.")


def entries_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return journal_entries.c.lane == lane_of(account), journal_entries.c.account_id == account


def postings_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return postings.c.lane == lane_of(account), postings.c.account_id == account


def lots_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return lots.c.lane == lane_of(account), lots.c.account_id == account


def payouts_of(account: uuid.UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return payouts.c.lane == lane_of(account), payouts.c.account_id == account


def of_accounts(
    connection: AsyncConnection,
    lane: sa.ColumnElement[int],
    account: sa.ColumnElement[uuid.UUID],
    wanted: Iterable[uuid.UUID],
) -> list[sa.ColumnElement[bool]]:
    """That these two columns are one of the accounts': a condition for each statement that asks, one in all, or one a
    lane where tables are spread over nodes; none for no account."""
    lanes: dict[int, list[uuid.UUID]] = {}
    for one in sorted(set(wanted)):
        lanes.setdefault(lane_of(one), []).append(one)
    if is_by_lane(connection):
        return [sa.and_(lane == number, account.in_(here)) for number, here in sorted(lanes.items())]
    keys = [(number, one) for number, here in lanes.items() for one in here]
    return [sa.tuple_(lane, account, types=(sa.SmallInteger(), Uuid())).in_(keys)] if keys else []


def by_index_of(connection: AsyncConnection, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """The condition; SQLite takes an index that has it rather than the primary key once it is told that few fit."""
    if connection.dialect.name != "sqlite":
        return condition
    told: sa.ColumnElement[bool] = sa.func.unlikely(condition)
    return told


async def time_zones(connection: AsyncConnection, accounts: Iterable[Account]) -> dict[uuid.UUID, ZoneInfo]:
    """Those of the accounts' present policies; UTC without one."""
    versions = {one.id: one.policy for one in accounts}
    wanted = [(lane_of(account), account, version) for account, version in versions.items() if version]
    found = await find_rows(connection, _POLICY, wanted, "t.account_id, t.time_zone")
    names: dict[uuid.UUID, str] = dict(map(rows.identified, found))
    return {account: ZoneInfo(names.get(account, "UTC")) for account in versions}
