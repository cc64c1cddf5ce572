"""An account's four numbers day by day: what a chart is drawn from."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.ledger.model import Account, Bucket
from alikassa.ledger.questions.days import day_of, ends_of_days
from alikassa.ledger.questions.reading import find_each_account, require_limit, time_of, time_zones
from alikassa.ledger.questions.stood import last_entries_before, stood_after

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection
    from zoneinfo import ZoneInfo

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.questions.stood import Buckets

__all__ = ["MOST_DAYS", "MOST_TOGETHER", "DayEnd", "daily_balances", "daily_balances_of"]

#: Days before today that can be asked for.
MOST_DAYS = 400
#: Days of all accounts of one question.
MOST_TOGETHER = 10_000

_INSTANT = timedelta(microseconds=1)


class DayEnd(msgspec.Struct, frozen=True):
    """What an account stood at, in units, at the end of a day of its time zone, or now if that is the last.

    As booked: what was due and not released yet is still in its bucket. `sequence` is the last entry that had been
    recorded by then; 0, and nothing in any bucket, before the first.
    """

    day: date
    balance: int
    hold: int
    rolling_reserve: int
    pending_payouts: int
    sequence: int


async def daily_balances(
    database: Database, account: uuid.UUID, *, days: int, now: Clock | None = None
) -> list[DayEnd]:
    """The last `days` days and today so far, the oldest first; days are those of the account's present policy's time
    zone, UTC without one. NotFoundError for an unknown account, InvalidInputError for days outside 1 to `MOST_DAYS`.
    """
    return (await daily_balances_of(database, [account], days=days, now=now))[account]


async def daily_balances_of(
    database: Database, accounts: Collection[uuid.UUID], *, days: int, now: Clock | None = None
) -> dict[uuid.UUID, list[DayEnd]]:
    """As `daily_balances`, of several accounts in a few statements together.

    InvalidInputError, too, for more than `MOST_TOGETHER` days of all accounts.
    """
    wanted = set(accounts)
    require_limit(days, 1, MOST_DAYS, "number of days")
    if days * len(wanted) > MOST_TOGETHER:
        raise InvalidInputError(
            f"{days} days of {len(wanted)} accounts are too many for one question.", remedy="Ask for fewer of either."
        )
    async with database.read() as connection:
        found = await find_each_account(connection, wanted)
        at = await time_of(database, connection, now)
        zones = await time_zones(connection, found)
        ends = [_End(one, day, end) for one in found for day, end in _last_days(at, days, zones[one.id])]
        points = await last_entries_before(connection, [(one.account, one.at + _INSTANT) for one in ends])
        stood = await stood_after(connection, found, points)
    answer: dict[uuid.UUID, list[DayEnd]] = {one: [] for one in wanted}
    for end, point in zip(ends, points, strict=True):
        answer[end.account.id].append(_day_end(end.day, point.sequence, stood[point]))
    for one in found:
        answer[one.id].append(_day_end(day_of(at, zones[one.id]), one.sequence, one.buckets))
    return answer


class _End(NamedTuple):
    """The last microsecond of an account's day."""

    account: Account
    day: date
    at: datetime


def _last_days(at: datetime, days: int, zone: ZoneInfo) -> list[tuple[date, datetime]]:
    return ends_of_days(day_of(at, zone) - timedelta(days=days), days, zone)


def _day_end(day: date, sequence: int, buckets: Buckets) -> DayEnd:
    return DayEnd(
        day=day,
        balance=buckets[Bucket.BALANCE],
        hold=buckets[Bucket.HOLD],
        rolling_reserve=buckets[Bucket.ROLLING_RESERVE],
        pending_payouts=buckets[Bucket.PENDING_PAYOUTS],
        sequence=sequence,
    )
