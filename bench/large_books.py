"""Books with a long history: decided once by our rules, written to each engine in large transactions.

By our own writer, with a commit for every few payments, a million entries would take minutes. What is written here is
what it would have written: `alikassa books verify` finds nothing wrong with it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alikassa import clock
from alikassa.ledger import store
from alikassa.ledger.model import Bucket, Kind, SystemAccount
from alikassa.ledger.sheet import Sheet
from alikassa.ledger.types import Moment
from alikassa.ledger.writing import write
from alikassa.money import SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account

__all__ = ["HELD_EACH", "LOTS_EACH", "grow", "let_all_fall_due", "live"]

#: Open lots an account, half of them in hold, half in the rolling reserve, each of 1.00.
LOTS_EACH = 100
#: So much is in either.
HELD_EACH = LOTS_EACH // 2
_PAYMENTS = LOTS_EACH // 2
_TOGETHER = 50
#: Lots are due a year from now: not while it is measured.
_DUE = timedelta(days=365)


async def grow(databases: Sequence[Database], entries_each: int, *, lots: bool) -> None:
    """Bring every account to so many entries. With `lots`, 50 of them are payments that hold."""
    async with databases[0].read() as connection:
        accounts = await store.find_accounts(connection)
    now = clock.now()
    writers = [database.writer() for database in databases]
    for first in range(0, len(accounts), _TOGETHER):
        sheets = [_history(one, entries_each, now, lots=lots) for one in accounts[first : first + _TOGETHER]]
        for writer in writers:
            async with writer.transaction() as connection:
                # A copy's first statement begins no transaction on PostgreSQL.
                await connection.execute(sa.text("SELECT 1"))
                await write(connection, sheets)


def _history(account: Account, entries: int, now: datetime, *, lots: bool) -> Sheet:
    """The balance ends where it was: what payments bring, adjustments take."""
    sheet = Sheet(account)
    if lots:
        for number in range(_PAYMENTS):
            draft = sheet.draft()
            draft.post(SystemAccount.CLEARING, -3 * SCALE)
            draft.post(SystemAccount.FEES, SCALE)
            for bucket in (Bucket.ROLLING_RESERVE, Bucket.HOLD):
                draft.open_lot(bucket, SCALE, f"old-{number}", 0, now + _DUE + timedelta(minutes=number))
            sheet.book(draft, kind=Kind.PAYMENT, reference=f"old-{number}", now=now, content=b"bench")
    up = True
    while sheet.account.sequence < entries:
        draft = sheet.draft()
        amount = SCALE if up else -SCALE
        draft.post(Bucket.BALANCE, amount)
        draft.post(SystemAccount.ADJUSTMENTS, -amount)
        sheet.book(draft, kind=Kind.ADJUSTMENT, reference=f"old-{draft.sequence}", now=now, content=b"bench")
        up = not up
    return sheet


#: Of the entries of one account's year, one in so many is a payment that holds two sums.
_PAYMENT_EACH = 20
#: Few: so many fees in the whole year.
_FEES = 10
_BATCH = 20_000


async def live(database: Database, account: Account, entries: int) -> None:
    """A year of one account: so many entries, evenly until now, and a tenth as many open lots. None is due yet."""
    step = timedelta(days=365) / (entries + 1)
    start = clock.now() - step * entries
    writer = database.writer()
    for first in range(0, entries, _BATCH):
        sheet = Sheet(account)
        for number in range(first, min(first + _BATCH, entries)):
            _one_of_a_year(sheet, number, entries // _FEES, start + step * number)
        async with writer.transaction() as connection:
            await connection.execute(sa.text("SELECT 1"))
            await write(connection, [sheet])
        account = sheet.account


def _one_of_a_year(sheet: Sheet, number: int, fee_each: int, now: datetime) -> None:
    draft, kind = sheet.draft(), Kind.ADJUSTMENT
    if number % _PAYMENT_EACH == 0:
        kind = Kind.PAYMENT
        draft.post(SystemAccount.CLEARING, -1000 * SCALE)
        draft.post(SystemAccount.FEES, 39 * SCALE)
        draft.open_lot(Bucket.ROLLING_RESERVE, 50 * SCALE, f"old-{number}", 0, now + timedelta(days=545))
        draft.open_lot(Bucket.HOLD, 200 * SCALE, f"old-{number}", 0, now + timedelta(days=380))
        draft.post(Bucket.BALANCE, 711 * SCALE)
    elif number % fee_each == fee_each // 2 + 1:
        kind = Kind.FEE
        draft.post(Bucket.BALANCE, -SCALE)
        draft.post(SystemAccount.FEES, SCALE)
    else:
        amount = number - SCALE if number % 2 else SCALE - number
        draft.post(Bucket.BALANCE, amount)
        draft.post(SystemAccount.ADJUSTMENTS, -amount)
    sheet.book(draft, kind=kind, reference=f"old-{number}", now=now, content=b"bench")


async def let_all_fall_due(database: Database) -> None:
    """Every lot is due since yesterday, and none is released: due times are fixed, so their guard rests meanwhile."""
    past = clock.now() - timedelta(days=1)
    guard = "lots_immutable" if database.is_postgresql else "lots_no_update"
    async with database.write() as connection:
        if database.is_postgresql:
            await connection.execute(sa.text(f"ALTER TABLE lots DISABLE TRIGGER {guard}"))
        else:
            guarding = await connection.scalar(
                sa.text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": guard}
            )
            await connection.execute(sa.text(f"DROP TRIGGER {guard}"))
        moment = sa.bindparam("past", past, type_=Moment)
        await connection.execute(sa.text("UPDATE lots SET due_at = :past WHERE due_at IS NOT NULL").bindparams(moment))
        await connection.execute(
            sa.text("UPDATE accounts SET next_due_at = :past WHERE next_due_at IS NOT NULL").bindparams(moment)
        )
        if database.is_postgresql:
            await connection.execute(sa.text(f"ALTER TABLE lots ENABLE TRIGGER {guard}"))
        else:
            await connection.exec_driver_sql(str(guarding))
