"""Payouts under way, over all accounts: found through the accounts that have some, not among all that ever were."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.ledger import rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import PayoutState
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.payouts import (
    MOST_PAYOUTS,
    ListedPayout,
    PayoutPage,
    PayoutPosition,
    earlier,
    listed_payout,
)
from alikassa.ledger.questions.reading import require_limit, time_of
from alikassa.ledger.types import Amount, Moment, Uuid

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["StuckPayouts", "pending_payouts", "stuck_payouts"]

_KEY: tuple[sa.ColumnElement[Any], ...] = tuple(
    sa.literal_column(name) for name in ("t.lane", "t.account_id", "t.sequence", "t.line")
)
_MADE_AT = sa.literal_column("t.created_at", Moment)


class StuckPayouts(msgspec.Struct, frozen=True):
    """At `at`: how many payouts had waited for too long, and the `oldest` of them."""

    at: datetime
    count: int
    oldest: list[ListedPayout]


async def pending_payouts(
    database: Database,
    *,
    older_than: timedelta | None = None,
    after: str | None = None,
    limit: int = 100,
    now: Clock | None = None,
) -> PayoutPage:
    """As `payouts` of all accounts in the state pending, at the cost of the accounts that have some."""
    require_limit(limit, 1, MOST_PAYOUTS)
    question = ("pending payouts", older_than)
    position = None if after is None else read_cursor(after, question, PayoutPosition)
    async with database.read() as connection:
        at = await time_of(database, connection, now)
        statement = _pending(connection, sa.text(f"a.currency, {rows.PAYOUT}"))
        if older_than is not None:
            statement = statement.where(earlier(at, older_than) >= _MADE_AT)
        if position is not None:
            lane, (account, sequence, line) = lane_of(position.account), msgspec.structs.astuple(position)
            of = (sa.literal(lane), sa.literal(account, Uuid))
            # The first of the two lets the database begin at that account.
            statement = statement.where(
                sa.tuple_(sa.literal_column("a.lane"), sa.literal_column("a.id")) >= sa.tuple_(*of),
                sa.tuple_(*_KEY) > sa.tuple_(*of, sa.literal(sequence), sa.literal(line)),
            )
        in_order = ("a.lane", "a.id", "t.sequence", "t.line")
        statement = statement.order_by(*map(sa.literal_column, in_order)).limit(limit + 1)
        found = (await connection.execute(statement)).all()
    listed = [listed_payout(row) for row in found[:limit]]
    cursor = None
    if len(found) > limit:
        cursor = write_cursor(question, PayoutPosition(listed[-1].account, *listed[-1].payout.key))
    return PayoutPage(at, listed, cursor)


async def stuck_payouts(
    database: Database, older_than: timedelta, *, oldest: int = 5, now: Clock | None = None
) -> StuckPayouts:
    """Payouts under way that were made at least so long ago. Reads all accounts, and what is under way of them."""
    async with database.read() as connection:
        at = await time_of(database, connection, now)
        old = earlier(at, older_than) >= _MADE_AT
        count = await connection.scalar(_pending(connection, sa.func.count()).where(old))
        statement = _pending(connection, sa.text(f"a.currency, {rows.PAYOUT}")).where(old)
        found = await connection.execute(statement.order_by(_MADE_AT, *_KEY).limit(oldest))
        return StuckPayouts(at, count or 0, [listed_payout(row) for row in found])


def _pending(connection: AsyncConnection, columns: Any) -> sa.Select[Any]:
    """Columns of payouts under way (t), of accounts (a) in which something is."""
    # Left to itself, SQLite begins with the payouts, or reads all that an account ever had.
    hint = "" if connection.dialect.name == "postgresql" else "INDEXED BY payouts_lane_account_id_state_sequence_idx"
    return (
        sa.select(columns)
        .select_from(sa.text(f"accounts a CROSS JOIN payouts t {hint}"))
        .where(
            sa.text("t.lane = a.lane AND t.account_id = a.id"),
            sa.literal_column("t.state") == PayoutState.PENDING.value,
            sa.literal_column("a.pending_payouts", Amount) != 0,
        )
    )
