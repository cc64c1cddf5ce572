"""Payouts, and what banks said against them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvalidInputError
from alikassa.ledger import rows
from alikassa.ledger.bulk import units
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Discrepancy, Payout, PayoutState
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.ledger.questions.reading import find_account, require_limit, time_of
from alikassa.ledger.rules import check_text
from alikassa.ledger.schema import accounts
from alikassa.ledger.schema import discrepancies as discrepancies_table
from alikassa.ledger.schema import payouts as payouts_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = [
    "MOST_PAYOUTS",
    "DiscrepancyPage",
    "ListedDiscrepancy",
    "ListedPayout",
    "PayoutPage",
    "PayoutPosition",
    "discrepancies",
    "earlier",
    "listed_payout",
    "payouts",
]

#: Payouts, or discrepancies, of one page at most.
MOST_PAYOUTS = 1000

# The columns that `rows` names are those of t.
_PAYOUTS = payouts_table.alias("t")
_DISCREPANCIES = discrepancies_table.alias("t")
_ACCOUNTS = accounts.alias("a")
_THEIR_PAYOUTS = payouts_table.alias("p")


class ListedPayout(msgspec.Struct, frozen=True):
    """A payout, whose it is, and in which currency."""

    account: uuid.UUID
    currency: str
    payout: Payout


class PayoutPage(msgspec.Struct, frozen=True):
    """Account by account, each one's in the order of making. Ages count to `at`. `cursor` is None at the end."""

    at: datetime
    payouts: list[ListedPayout]
    cursor: str | None


class ListedDiscrepancy(msgspec.Struct, frozen=True):
    """A discrepancy, and the payout's amount without its fee, in which currency."""

    currency: str
    amount: int
    discrepancy: Discrepancy


class DiscrepancyPage(msgspec.Struct, frozen=True):
    """Account by account, payout by payout. `cursor` is None at the end."""

    discrepancies: list[ListedDiscrepancy]
    cursor: str | None


async def payouts(
    database: Database,
    account: uuid.UUID | None = None,
    *,
    state: PayoutState | None = None,
    older_than: timedelta | None = None,
    after: str | None = None,
    limit: int = 100,
    now: Clock | None = None,
) -> PayoutPage:
    """An account's payouts, or all; only those in a state, or made at least `older_than` ago.

    `after` is the cursor of the page before, of the same question. NotFoundError for an unknown account,
    InvalidInputError for a cursor that is not this question's and for a limit outside 1 to `MOST_PAYOUTS`.
    """
    require_limit(limit, 1, MOST_PAYOUTS)
    if older_than is not None and older_than < timedelta(0):
        raise InvalidInputError("An age is not below zero.")
    question = ("payouts", account, state, older_than)
    position = None if after is None else read_cursor(after, question, PayoutPosition)
    key = (_PAYOUTS.c.lane, _PAYOUTS.c.account_id, _PAYOUTS.c.sequence, _PAYOUTS.c.line)
    statement = _select(f"a.currency, {rows.PAYOUT}", _PAYOUTS, account)
    if state is not None:
        statement = statement.where(_PAYOUTS.c.state == state.value)
    if position is not None:
        statement = statement.where(sa.tuple_(*key) > (lane_of(position.account), *msgspec.structs.astuple(position)))
    async with database.read() as connection:
        if account is not None:
            await find_account(connection, account)
        at = await time_of(database, connection, now)
        if older_than is not None:
            statement = statement.where(_PAYOUTS.c.created_at <= earlier(at, older_than))
        found = (await connection.execute(statement.order_by(*key).limit(limit + 1))).all()
    listed = [listed_payout(row) for row in found[:limit]]
    cursor = None
    if len(found) > limit:
        cursor = write_cursor(question, PayoutPosition(listed[-1].account, *listed[-1].payout.key))
    return PayoutPage(at, listed, cursor)


async def discrepancies(
    database: Database,
    account: uuid.UUID | None = None,
    *,
    open_only: bool = True,
    after: str | None = None,
    limit: int = 100,
) -> DiscrepancyPage:
    """An account's discrepancies, or all; open ones, or with those that a correction has closed.

    Cursor, limit and errors as in `payouts`.
    """
    require_limit(limit, 1, MOST_PAYOUTS)
    question = ("discrepancies", account, open_only)
    position = None if after is None else read_cursor(after, question, _DiscrepancyPosition)
    key = (
        *(_DISCREPANCIES.c.lane, _DISCREPANCIES.c.account_id, _DISCREPANCIES.c.payout),
        *(_DISCREPANCIES.c.claimed, _DISCREPANCIES.c.opened_at),
    )
    statement = _select(f"a.currency, p.amount, {rows.DISCREPANCY}", _DISCREPANCIES, account).join(
        _THEIR_PAYOUTS,
        sa.and_(
            _THEIR_PAYOUTS.c.lane == (_DISCREPANCIES.c.lane if account is None else lane_of(account)),
            _THEIR_PAYOUTS.c.account_id == _DISCREPANCIES.c.account_id,
            _THEIR_PAYOUTS.c.reference == _DISCREPANCIES.c.payout,
        ),
    )
    if open_only:
        statement = statement.where(_DISCREPANCIES.c.closed_sequence.is_(None))
    if position is not None:
        check_text(position.payout, "cursor's payout", len(position.payout))
        statement = statement.where(sa.tuple_(*key) > (lane_of(position.account), *msgspec.structs.astuple(position)))
    async with database.read() as connection:
        if account is not None:
            await find_account(connection, account)
        found = (await connection.execute(statement.order_by(*key).limit(limit + 1))).all()
    listed = [ListedDiscrepancy(row[0], units(row[1]), rows.discrepancy(row[2:])) for row in found[:limit]]
    cursor = None
    if len(found) > limit:
        last = listed[-1].discrepancy
        position = _DiscrepancyPosition(last.account, last.payout, last.claimed, last.opened_at)
        cursor = write_cursor(question, position)
    return DiscrepancyPage(listed, cursor)


class PayoutPosition(msgspec.Struct, array_like=True):
    """The payout with which a page ended."""

    account: uuid.UUID
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    line: Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)]


class _DiscrepancyPosition(msgspec.Struct, array_like=True):
    """The discrepancy with which a page ended."""

    account: uuid.UUID
    payout: str
    claimed: PayoutState
    opened_at: Annotated[datetime, msgspec.Meta(tz=True)]


def _select(columns: str, table: sa.FromClause, account: uuid.UUID | None) -> sa.Select[Any]:
    """Columns of the table, and of each row's account."""
    same = sa.and_(_ACCOUNTS.c.lane == table.c.lane, _ACCOUNTS.c.id == table.c.account_id)
    statement = sa.select(sa.text(columns)).select_from(table.join(_ACCOUNTS, same))
    if account is not None:
        own = (table.c.lane == lane_of(account), table.c.account_id == account)
        statement = statement.where(*own, _ACCOUNTS.c.lane == lane_of(account))
    return statement


def listed_payout(row: Sequence[Any]) -> ListedPayout:
    """From its account's currency and the columns of `rows.PAYOUT`."""
    account, payout = rows.payout(row[1:])
    return ListedPayout(account, row[0], payout)


def earlier(at: datetime, age: timedelta) -> datetime:
    """InvalidInputError for an age that is longer than the calendar."""
    try:
        return at - age
    except OverflowError:
        raise InvalidInputError("The age is longer than the calendar.") from None
