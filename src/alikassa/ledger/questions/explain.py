"""What each of an account's four numbers is made up of."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvariantError
from alikassa.ledger import rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket, Kind, LotKey, PayoutState
from alikassa.ledger.questions.open_lots import BUCKETS_OF_LOTS, When, held_in_open_lots, is_when
from alikassa.ledger.questions.reading import (
    entries_of,
    find_account,
    lots_of,
    payouts_of,
    postings_of,
    require_limit,
    time_of,
)
from alikassa.ledger.questions.sums import Sum, summed
from alikassa.ledger.schema import IN_ORDER_OF_RELEASE, is_open, journal_entries, lots, payouts, policies, postings
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account
    from alikassa.ledger.policy import Policy

__all__ = [
    "MOST_ITEMS",
    "BalanceExplained",
    "Explanation",
    "HeldExplained",
    "HeldLot",
    "Movement",
    "Others",
    "PendingExplained",
    "PendingPayout",
    "explain",
]

#: Items a number that can be asked for.
MOST_ITEMS = 1000
_NOT_DUE = (When.LATER, When.BY_HAND)


class Others(msgspec.Struct, frozen=True):
    """What is not listed: how many, and their sum in units."""

    count: int
    total: int


class HeldLot(msgspec.Struct, frozen=True):
    """A lot and where it is from: `kind` and `reason` are those of the entry that made it, at `made_at` (effective).

    `source` is the payment's reference, or whatever it was held from by hand or brought from other books. `percent`
    is what that version of the policy says, in 10^-8 percent; both are None for what no policy holds. `due_at` None:
    released only by hand.
    """

    key: LotKey
    bucket: Bucket
    kind: Kind
    source: str
    reason: str
    made_at: datetime
    policy: int | None
    percent: int | None
    amount: int
    remaining: int
    due_at: datetime | None


class Movement(msgspec.Struct, frozen=True):
    """An entry that moved the balance, and by how much."""

    sequence: int
    kind: Kind
    reference: str
    reason: str
    effective_at: datetime
    recorded_at: datetime
    change: int


class PendingPayout(msgspec.Struct, frozen=True):
    """A payout under way. `age` is how long it has been."""

    key: LotKey
    reference: str
    amount: int
    by_hand: bool
    created_at: datetime
    age: timedelta


class BalanceExplained(msgspec.Struct, frozen=True):
    """`total` = `earlier` + `movements` + `due` + `due_others`.

    `movements` are the last ones, the newest first. `earlier` is what the balance stood at before the oldest of them,
    and how many entries of any kind the account had by then. `due` are lots that are due and not yet released by an
    entry, the longest due first: they can be spent.
    """

    total: int
    movements: list[Movement]
    earlier: Others
    due: list[HeldLot]
    due_others: Others


class HeldExplained(msgspec.Struct, frozen=True):
    """`total` = what remains of `lots` + `others`. The next to fall due first, those held by hand last."""

    total: int
    count: int
    lots: list[HeldLot]
    others: Others


class PendingExplained(msgspec.Struct, frozen=True):
    """`total` = `payouts` + `others`. The oldest first."""

    total: int
    count: int
    payouts: list[PendingPayout]
    others: Others


class Explanation(msgspec.Struct, frozen=True):
    """The four numbers as they would be answered at `at`, after entry `sequence`."""

    account: uuid.UUID
    currency: str
    at: datetime
    sequence: int
    balance: BalanceExplained
    hold: HeldExplained
    rolling_reserve: HeldExplained
    pending_payouts: PendingExplained


async def explain(database: Database, account: uuid.UUID, *, limit: int = 20, now: Clock | None = None) -> Explanation:
    """Each number as the list of what makes it up, up to `limit` items a list, and the sum of the rest.

    NotFoundError for an unknown account, InvalidInputError for a limit outside 0 to `MOST_ITEMS`.
    """
    require_limit(limit, 0, MOST_ITEMS)
    async with database.read() as connection:
        found = await find_account(connection, account)
        at = await time_of(database, connection, now)
        open_lots = _OpenLots(connection, found, at, limit, await _policies(connection, account))
        sums = await open_lots.sums()
        hold = await open_lots.held(Bucket.HOLD, sums)
        reserve = await open_lots.held(Bucket.ROLLING_RESERVE, sums)
        balance = await _balance(connection, found, limit, await open_lots.due(sums))
        pending = await _pending(connection, found, at, limit)
    return Explanation(account, found.currency, at, found.sequence, balance, hold, reserve, pending)


class _OpenLots:
    """Those of one account, as of one moment."""

    def __init__(
        self, connection: AsyncConnection, account: Account, at: datetime, limit: int, policies: dict[int, Policy]
    ) -> None:
        self._connection = connection
        self._account = account
        self._at = at
        self._limit = limit
        self._policies = policies

    async def sums(self) -> dict[When, dict[Bucket, Sum]]:
        """InvariantError when lots and bucket disagree."""
        sums = {when: await held_in_open_lots(self._connection, self._account.id, self._at, when) for when in When}
        for bucket in BUCKETS_OF_LOTS:
            _require_sum(self._account, bucket, sum(held[bucket].total for held in sums.values()))
        return sums

    async def held(self, bucket: Bucket, sums: dict[When, dict[Bucket, Sum]]) -> HeldExplained:
        """What is not due yet."""
        whole = _together(sums[when][bucket] for when in _NOT_DUE)
        listed: list[HeldLot] = []
        for when in _NOT_DUE:
            if sums[when][bucket].rows and len(listed) < self._limit:
                listed += await self._listed(when, self._limit - len(listed), lots.c.bucket == bucket.value)
        return HeldExplained(whole.total, whole.rows, listed, _rest(whole, [lot.remaining for lot in listed]))

    async def due(self, sums: dict[When, dict[Bucket, Sum]]) -> tuple[list[HeldLot], Others]:
        whole = _together(sums[When.DUE].values())
        listed = await self._listed(When.DUE, self._limit) if whole.rows else []
        return listed, _rest(whole, [lot.remaining for lot in listed])

    async def _listed(self, when: When, limit: int, *where: sa.ColumnElement[bool]) -> list[HeldLot]:
        here, entry = lots_of(self._account.id), journal_entries.c
        # First their keys, from the index alone: lots of the other bucket may have to be passed over.
        chosen = (
            sa.select(lots.c.sequence, lots.c.line)
            .where(*here, is_open, is_when(self._connection, when, self._at), *where)
            .order_by(*IN_ORDER_OF_RELEASE)
            .limit(limit)
            .subquery()
        )
        same = sa.and_(*here, lots.c.sequence == chosen.c.sequence, lots.c.line == chosen.c.line)
        made_by = sa.and_(*entries_of(self._account.id), entry.sequence == lots.c.sequence)
        statement = (
            sa.select(
                *(lots.c.sequence, lots.c.line, lots.c.bucket, entry.kind, lots.c.source, entry.reason),
                *(entry.effective_at, lots.c.policy, lots.c.amount, lots.c.remaining, lots.c.due_at),
            )
            .select_from(chosen.join(lots, same).join(journal_entries, made_by))
            .order_by(*IN_ORDER_OF_RELEASE)
        )
        return [self._lot(row) for row in await self._connection.execute(statement)]

    def _lot(self, row: Sequence[Any]) -> HeldLot:
        sequence, line, place, kind, source, reason, made_at, version, amount, remaining, due_at = row
        bucket, policy = Bucket(place), self._policies.get(version)
        percent = None
        if policy is not None:
            percent = policy.hold_percent if bucket is Bucket.HOLD else policy.reserve_percent
        return HeldLot(
            key=LotKey(sequence, line),
            bucket=bucket,
            kind=Kind(kind),
            source=source,
            reason=reason,
            made_at=made_at,
            policy=version or None,
            percent=percent,
            amount=amount,
            remaining=remaining,
            due_at=due_at,
        )


async def _policies(connection: AsyncConnection, account: uuid.UUID) -> dict[int, Policy]:
    """Every version that the account ever had."""
    table = policies.alias("t")
    here = (table.c.lane == lane_of(account), table.c.account_id == account)
    found = await connection.execute(sa.select(sa.text(rows.POLICY)).select_from(table).where(*here))
    return {version: policy for _, version, policy in map(rows.policy, found)}


async def _balance(
    connection: AsyncConnection, account: Account, limit: int, due: tuple[list[HeldLot], Others]
) -> BalanceExplained:
    changes = await _last_changes(connection, account.id, limit)
    entry = journal_entries.c
    statement = sa.select(
        *(entry.sequence, entry.kind, entry.reference, entry.reason, entry.effective_at, entry.recorded_at)
    ).where(*entries_of(account.id), entry.sequence.in_(changes))
    movements = [
        Movement(row.sequence, Kind(row.kind), row.reference, row.reason, row.effective_at, row.recorded_at, change)
        for row in await connection.execute(statement.order_by(entry.sequence.desc()))
        for change in [changes[row.sequence]]
    ]
    booked = account.buckets[Bucket.BALANCE]
    before = min(changes, default=account.sequence + 1) - 1
    lots_due, others_due = due
    return BalanceExplained(
        total=booked + sum(lot.remaining for lot in lots_due) + others_due.total,
        movements=movements,
        earlier=Others(before, booked - sum(changes.values())),
        due=lots_due,
        due_others=others_due,
    )


async def _last_changes(connection: AsyncConnection, account: uuid.UUID, limit: int) -> dict[int, int]:
    """The last entries that moved the balance, at most so many, and by how much. Back along the primary key."""
    number = postings.c.sequence
    statement = sa.select(number, postings.c.amount).where(
        *postings_of(account), postings.c.bucket == Bucket.BALANCE.value
    )
    changes: dict[int, int] = {}
    if not limit:
        return changes
    last = statement.with_only_columns(number).group_by(number).order_by(number.desc()).limit(limit).subquery()
    first = await connection.scalar(sa.select(sa.func.min(last.c.sequence)))
    if first is not None:
        for sequence, amount in await connection.execute(statement.where(number >= first)):
            changes[sequence] = changes.get(sequence, 0) + amount
    return changes


async def _pending(connection: AsyncConnection, account: Account, at: datetime, limit: int) -> PendingExplained:
    pending = (*payouts_of(account.id), payouts.c.state == PayoutState.PENDING.value)
    whole = (await summed(connection, (), payouts.c.amount, payouts, *pending)).get((), Sum())
    _require_sum(account, Bucket.PENDING_PAYOUTS, whole.total)
    statement = sa.select(payouts).where(*pending).order_by(payouts.c.sequence, payouts.c.line).limit(limit)
    listed = [
        PendingPayout(
            LotKey(row.sequence, row.line), row.reference, row.amount, row.by_hand, row.created_at, at - row.created_at
        )
        for row in await connection.execute(statement)
    ]
    return PendingExplained(whole.total, whole.rows, listed, _rest(whole, [payout.amount for payout in listed]))


def _together(sums: Iterable[Sum]) -> Sum:
    parts = list(sums)
    return Sum(sum(one.total for one in parts), sum(one.rows for one in parts))


def _rest(whole: Sum, listed: Sequence[int]) -> Others:
    return Others(whole.rows - len(listed), whole.total - sum(listed))


def _require_sum(account: Account, bucket: Bucket, total: int) -> None:
    booked = account.buckets[bucket]
    if total != booked:
        raise InvariantError(
            f"{bucket} of account {account.id} is {from_units(booked)}, and its parts sum to {from_units(total)}.",
            remedy="The database was changed by hand. See what is wrong: alikassa books verify",
        )
