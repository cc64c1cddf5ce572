"""Closing a period: from then on nothing is booked with effect before its end, on any account."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from alikassa.clock import moment_text
from alikassa.errors import ConflictError, EffectiveTimeError
from alikassa.ledger import store
from alikassa.ledger.books import Books
from alikassa.ledger.commands import ClosePeriod
from alikassa.ledger.rules import check
from alikassa.ledger.schema import accounts, closed_periods, merchants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["ClosedPeriod", "Progress", "close_period"]

#: Told how many accounts are done, of how many.
Progress = Callable[[int, int], None]

#: Accounts that are asked for, and wait to be booked, at a time.
_TOGETHER = 1000
_NOBODY = uuid.UUID(int=0)


class ClosedPeriod(msgspec.Struct, frozen=True):
    """What was closed: `closed` accounts by this call; the other ones of `accounts` were closed that far before."""

    reference: str
    until: datetime
    reason: str
    accounts: int
    closed: int


async def close_period(
    database: Database,
    *,
    until: datetime,
    reference: str,
    reason: str = "",
    now: Clock | None = None,
    progress: Progress | None = None,
) -> ClosedPeriod:
    """Close the books of all accounts until `until`, which has passed; accounts opened later are closed that far too.

    Ended half-way, it goes on when it is called again with the same reference. Refusals, before anything is written:
    InvalidInputError, ConflictError when the reference names another period, EffectiveTimeError when `until` has not
    come yet or a period that ends then or later is closed already.
    """
    await _record(database, until, reference, reason, now)
    await _wait_for_openings(database)
    books = Books(database, now)
    every, left = await _count(database, until)
    done = closed = 0
    async for found in _not_closed(database, until):
        closed += await _close(books, [ClosePeriod(account, until, reference, reason) for account in found])
        done += len(found)
        if progress is not None:
            progress(done, left)
    return ClosedPeriod(reference, until, reason, every, closed)


async def _record(database: Database, until: datetime, reference: str, reason: str, now: Clock | None) -> None:
    """Before any account is closed: whoever opens one from here on has it closed as far."""
    check(ClosePeriod(_NOBODY, until, reference, reason))
    async with database.write() as connection:
        if await _is_recorded(connection, until, reference, reason):
            return
        moment = now() if now else await database.now(connection)
        if until > moment:
            raise EffectiveTimeError(
                f"The period until {moment_text(until)} is not over yet.", remedy="Close it when it is over."
            )
        latest = await store.closed_until(connection)
        if latest is not None and until <= latest:
            raise EffectiveTimeError(
                f"The books are closed until {moment_text(latest)} already.", remedy="What is closed stays closed."
            )
        row = {"reference": reference, "until": until, "reason": reason, "recorded_at": moment}
        try:
            async with connection.begin_nested():
                await connection.execute(closed_periods.insert().values(row))
        except IntegrityError:  # another program closes it at this very moment
            await _is_recorded(connection, until, reference, reason)


async def _is_recorded(connection: AsyncConnection, until: datetime, reference: str, reason: str) -> bool:
    found = await connection.execute(
        sa.select(closed_periods.c.until, closed_periods.c.reason).where(closed_periods.c.reference == reference)
    )
    row = found.first()
    if row is not None and tuple(row) != (until, reason):
        said = f" ({row.reason})" if row.reason else ""
        raise ConflictError(
            f"The reference {reference!r} closed the period until {moment_text(row.until)}{said}.",
            remedy="Say the same again to go on with that one, or choose a new reference.",
        )
    return row is not None


async def _wait_for_openings(database: Database) -> None:
    """Whoever was opening an account when the period was recorded, and did not see it, holds its merchant locked."""
    async with database.write() as connection:
        await connection.execute(sa.select(merchants.c.id).order_by(merchants.c.id).with_for_update(read=True))


def _open_before(until: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(accounts.c.closed_until.is_(None), accounts.c.closed_until < until)


async def _count(database: Database, until: datetime) -> tuple[int, int]:
    """All accounts, and those of them that are not closed that far."""
    async with database.read() as connection:
        every = (await connection.execute(sa.select(sa.func.count()).select_from(accounts))).scalar_one()
        left = await connection.execute(sa.select(sa.func.count()).select_from(accounts).where(_open_before(until)))
        return every, left.scalar_one()


async def _not_closed(database: Database, until: datetime) -> AsyncIterator[list[uuid.UUID]]:
    """The accounts that are not closed that far, some at a time, in the order of their keys."""
    lane, id_ = accounts.c.lane, accounts.c.id
    statement = sa.select(lane, id_).where(_open_before(until)).order_by(lane, id_).limit(_TOGETHER)
    after = statement
    while True:
        async with database.read() as connection:
            found = (await connection.execute(after)).all()
        if not found:
            return
        yield [row.id for row in found]
        last = found[-1]
        after = statement.where(sa.or_(lane > last.lane, sa.and_(lane == last.lane, id_ > last.id)))


async def _close(books: Books, commands: list[ClosePeriod]) -> int:
    """How many of them were closed now; some may have been closed meanwhile, by a later period."""
    closed = 0
    for outcome in await asyncio.gather(*map(books.book, commands), return_exceptions=True):
        if isinstance(outcome, BaseException):
            if not isinstance(outcome, EffectiveTimeError):
                raise outcome
        elif not outcome.repeated:
            closed += 1
    return closed
