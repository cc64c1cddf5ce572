"""What a batch of commands needs to know of its accounts, read in a few statements for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from alikassa import clock
from alikassa.ledger import rows
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Bucket, Kind, LotKey, PayoutState
from alikassa.ledger.schema import (
    accounts,
    discrepancies,
    is_open,
    journal_entries,
    lots,
    payouts,
    policies,
    postings,
)
from alikassa.ledger.sheet import Sheet

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.model import Account
    from alikassa.ledger.needs import Needs, OpenLots
    from alikassa.ledger.policy import Policy

__all__ = ["MOST_DUE", "load", "lock_accounts"]

#: Due lots that one batch releases at most; what remains is for the next, before any command.
MOST_DUE = 4000

_ACCOUNT = columns_of(accounts, "lane", "id")
_REFERENCE = columns_of(journal_entries, "lane", "account_id", "kind", "reference")
_SEQUENCE = columns_of(journal_entries, "lane", "account_id", "sequence")
_SUBJECT = columns_of(journal_entries, "lane", "account_id", "subject", index="journal_entries_subject_idx")
_LINES = columns_of(postings, "lane", "account_id", "sequence")
_LOT = columns_of(lots, "lane", "account_id", "sequence", "line")
_PAYOUT = columns_of(payouts, "lane", "account_id", "reference")
_PAYOUT_KEY = columns_of(payouts, "lane", "account_id", "sequence", "line")
_PAYOUTS_IN_STATE = columns_of(
    *(payouts, "lane", "account_id", "state"), index="payouts_lane_account_id_state_sequence_idx"
)
_DISCREPANCY = columns_of(discrepancies, "lane", "account_id", "payout")
_POLICY = columns_of(policies, "lane", "account_id", "version")

# Built once.
_NOW = sa.bindparam("now", type_=lots.c.due_at.type)
_OPEN = sa.and_(
    lots.c.lane == sa.bindparam("lane"),
    lots.c.account_id == sa.bindparam("account", type_=lots.c.account_id.type),
    is_open,
)
_OPEN_LOTS = sa.select(lots.c.sequence, lots.c.line, lots.c.remaining).where(
    _OPEN, lots.c.bucket == sa.bindparam("bucket"), sa.or_(lots.c.due_at.is_(None), lots.c.due_at > _NOW)
)
# Not quite the primary key: in its order the closed ones would be read too.
_BY_AGE = _OPEN_LOTS.order_by(lots.c.sequence + 0, lots.c.line)
# What is held by hand comes first.
_BY_RELEASE = _OPEN_LOTS.order_by(lots.c.due_at.is_not(None), lots.c.due_at, lots.c.sequence, lots.c.line)
_DUE_LOTS = (
    sa.select(lots.c.sequence, lots.c.line)
    .where(_OPEN, lots.c.due_at <= _NOW)
    .order_by(lots.c.due_at, lots.c.sequence, lots.c.line)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_NEXT_DUE = sa.select(lots.c.due_at).where(_OPEN, lots.c.due_at > _NOW).order_by(lots.c.due_at).limit(1)
_MOVED = (
    sa.select(sa.literal(1))
    .where(
        postings.c.lane == sa.bindparam("lane"),
        postings.c.account_id == sa.bindparam("account", type_=postings.c.account_id.type),
    )
    .limit(1)
)

#: An account may have 100,000 open lots, and a few of them suffice: first so many are asked for, then eight times that.
FIRST_LOTS = 64

#: Policies never change once they are made.
Policies = dict[tuple["uuid.UUID", int], "Policy"]


async def lock_accounts(
    connection: AsyncConnection, wanted: Iterable[uuid.UUID]
) -> tuple[dict[uuid.UUID, Account], datetime]:
    """The accounts, which nobody else can move on until the transaction ends, and the database's time.

    In one statement and one order, so that writers who want the same accounts wait for each other instead of
    locking each other out.
    """
    keys = sorted({(lane_of(account), account) for account in wanted})
    columns = rows.ACCOUNT
    if connection.dialect.name == "postgresql":
        columns += ", clock_timestamp()"
    found = await find_rows(connection, _ACCOUNT, keys, columns, order="t.lane, t.id", lock=True)
    locked = {account.id: account for account in map(rows.account, found)}
    # SQLite's clock is this machine's.
    now = max((row[-1] for row in found), default=None) if connection.dialect.name == "postgresql" else None
    return locked, now or clock.now()


async def load(
    connection: AsyncConnection, found: dict[uuid.UUID, Account], needs: Needs, now: datetime, known: Policies
) -> dict[uuid.UUID, Sheet]:
    """A sheet for each account with what `needs` names, and with what is due."""
    sheets = {account.id: Sheet(account) for account in found.values()}
    await _load_policies(connection, sheets, known)
    await _load_due(connection, sheets, now)
    await _load_entries(connection, sheets, _REFERENCE, _within(sheets, needs.entries))
    await _load_followers(connection, sheets, needs)
    await _load_lots(connection, sheets, needs, now)
    await _load_payouts(connection, sheets, needs)
    await _load_moved(connection, sheets, needs)
    return sheets


def _within(sheets: dict[uuid.UUID, Sheet], keys: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The keys of accounts that there are, lane first."""
    return [(lane_of(key[0]), *key) for key in keys if key[0] in sheets]


async def _load_policies(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], known: Policies) -> None:
    current = {sheet.account.id: sheet.account.policy for sheet in sheets.values() if sheet.account.policy}
    missing = [key for key in current.items() if key not in known]
    if len(known) > 100_000:
        known.clear()
        missing = list(current.items())
    for row in await find_rows(connection, _POLICY, _within(sheets, missing), rows.POLICY):
        account, version, policy = rows.policy(row)
        known[account, version] = policy
    for key in current.items():
        sheets[key[0]].policy = known[key]


async def _load_entries(
    connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], keys: Any, wanted: Sequence[tuple[Any, ...]]
) -> None:
    """Entries with their postings."""
    found = await find_rows(connection, keys, wanted, rows.ENTRY)
    if not found:
        return
    heads = {(row[0], row[1]): row for row in map(rows.identified, found)}
    lines: dict[tuple[uuid.UUID, int], list[Any]] = {key: [] for key in heads}
    named = [(lane_of(account), account, sequence) for account, sequence in heads]
    for row in map(rows.identified, await find_rows(connection, _LINES, named, rows.POSTING, order="t.line")):
        lines[row[0], row[1]].append(row)
    for key, row in heads.items():
        entry = rows.entry(row, lines[key])
        if (entry.kind, entry.reference) not in sheets[entry.account].entries:
            sheets[entry.account].add_entry(entry)


async def _load_followers(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], needs: Needs) -> None:
    """What was booked about these entries; about a payment's chargebacks, whether they were reversed."""
    about = [
        (lane_of(account), account, entry.sequence)
        for account, kind, reference in needs.followed
        if account in sheets and (entry := sheets[account].entries.get((kind, reference)))
    ]
    await _load_entries(connection, sheets, _SUBJECT, about)
    lost = [
        (lane, account, follower.sequence)
        for lane, account, sequence in about
        for follower in sheets[account].followers.get(sequence, ())
        if follower.kind is Kind.CHARGEBACK
    ]
    await _load_entries(connection, sheets, _SUBJECT, lost)


def _named_lots(needs: Needs, sheets: dict[uuid.UUID, Sheet], *, payouts: bool) -> set[tuple[uuid.UUID, LotKey]]:
    """The lots, or the payouts, that the postings of the wanted entries name."""
    return {
        (account, posting.lot)
        for account, kind, reference in needs.with_lots
        if account in sheets and (entry := sheets[account].entries.get((kind, reference)))
        for posting in entry.postings
        if posting.lot is not None and (posting.bucket is Bucket.PENDING_PAYOUTS) is payouts
    }


async def _load_lots(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], needs: Needs, now: datetime) -> None:
    named = needs.lots | _named_lots(needs, sheets, payouts=False)
    keys = {(lane_of(account), account, *key) for account, key in named if account in sheets}
    for account, draws in needs.open_lots.items():
        if account in sheets:
            for wanted in draws:
                keys.update(await _find_open_lots(connection, account, wanted, now))
    await _load_named_lots(connection, sheets, sorted(keys))


async def _load_named_lots(
    connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], keys: Sequence[tuple[Any, ...]]
) -> None:
    for account, lot in map(rows.lot, await find_rows(connection, _LOT, keys, rows.LOT)):
        sheets[account].lots.setdefault(lot.key, lot)


async def _find_open_lots(
    connection: AsyncConnection, account: uuid.UUID, wanted: OpenLots, now: datetime
) -> list[tuple[Any, ...]]:
    """The keys of open lots of a bucket in the order in which they are drawn, as many as it takes; due ones are gone by
    then."""
    given = {**_named(account), "bucket": wanted.bucket.value, "now": now}
    found = await _until(connection, _BY_AGE if wanted.by_age else _BY_RELEASE, given, wanted.amount)
    return [(lane_of(account), account, row.sequence, row.line) for row in found]


async def _until(
    connection: AsyncConnection, statement: sa.Select[tuple[int, int, int]], given: dict[str, Any], amount: int | None
) -> Sequence[sa.Row[tuple[int, int, int]]]:
    """The first lots until they come to `amount`; all of them if they do not, or if it is None."""
    if amount is None:
        return (await connection.execute(statement, given)).all()
    most = FIRST_LOTS
    while True:
        found = (await connection.execute(statement.limit(most), given)).all()
        taken = 0
        for number, row in enumerate(found, 1):
            taken += row.remaining
            if taken >= amount:
                return found[:number]
        if len(found) < most:
            return found
        most *= 8


def _named(account: uuid.UUID) -> dict[str, Any]:
    return {"lane": lane_of(account), "account": account}


async def _load_due(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], now: datetime) -> None:
    """What is due of each account, as far as one batch releases it, and when the next falls due."""
    for sheet in sheets.values():
        # Nothing that is not loaded is due before it, whatever the batch books and releases on top.
        sheet.later_due_at = sheet.account.next_due_at
    due = sorted(
        (lane_of(sheet.account.id), sheet.account.id)
        for sheet in sheets.values()
        if sheet.account.next_due_at is not None and sheet.account.next_due_at <= now
    )
    if not due:
        return
    keys: list[tuple[Any, ...]] = []
    for lane, account in due:
        sheet = sheets[account]
        left = MOST_DUE - len(keys)
        found = await connection.execute(_DUE_LOTS, {**_named(account), "now": now, "most": left + 1})
        here = [(lane, account, *row) for row in found]
        keys += here[:left]
        if len(here) > left:
            # Whatever else is known of it, something is due now.
            sheet.later_due_at, sheet.more_due = now, True
            continue
        sheet.later_due_at = await connection.scalar(_NEXT_DUE, {**_named(account), "now": now})
    await _load_named_lots(connection, sheets, keys)


async def _load_payouts(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], needs: Needs) -> None:
    named = _named_lots(needs, sheets, payouts=True)
    keys = [(lane_of(account), account, *key) for account, key in named]
    by_hand = [
        (lane_of(account), account, PayoutState.PENDING.value) for account in needs.payouts_by_hand if account in sheets
    ]
    found = [
        *await find_rows(connection, _PAYOUT, _within(sheets, needs.payouts), rows.PAYOUT),
        *await find_rows(connection, _PAYOUT_KEY, keys, rows.PAYOUT),
        *await find_rows(connection, _PAYOUTS_IN_STATE, by_hand, rows.PAYOUT, condition="t.by_hand"),
    ]
    if not found:
        return
    states = []
    for account, payout in map(rows.payout, found):
        sheets[account].payouts[payout.reference] = payout
        states.append((lane_of(account), account, payout.state_sequence))
    await _load_entries(connection, sheets, _SEQUENCE, states)
    claimed = [key for key in needs.payouts if key[0] in sheets]
    for row in await find_rows(connection, _DISCREPANCY, _within(sheets, claimed), rows.DISCREPANCY):
        one = rows.discrepancy(row)
        sheets[one.account].add_discrepancy(one)


async def _load_moved(connection: AsyncConnection, sheets: dict[uuid.UUID, Sheet], needs: Needs) -> None:
    for account in needs.moved & sheets.keys():
        moved = await connection.scalar(_MOVED, _named(account))
        sheets[account].moved_before = moved is not None
