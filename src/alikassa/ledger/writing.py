"""Writing what a batch changed: a few statements for all of its accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa.errors import InvariantError
from alikassa.ledger.bulk import columns_of, insert_rows, update_rows
from alikassa.ledger.model import BUCKETS
from alikassa.ledger.schema import (
    accounts,
    balance_snapshots,
    discrepancies,
    journal_entries,
    lots,
    payouts,
    policies,
    postings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.bulk import Columns
    from alikassa.ledger.sheet import Sheet

__all__ = ["write"]

_ENTRIES = columns_of(
    journal_entries,
    *("lane", "account_id", "sequence", "id", "kind", "reference", "reason", "content", "lines", "effective_at"),
    *("recorded_at", "metadata", "subject", "detail", "hash"),
)
_POSTINGS = columns_of(
    postings, "lane", "account_id", "sequence", "line", "bucket", "amount", "lot_sequence", "lot_line"
)
_LOTS = columns_of(
    lots,
    *("lane", "account_id", "sequence", "line", "bucket", "source", "policy", "due_at", "amount", "remaining", "open"),
)
_LOT_CHANGES = columns_of(lots, "lane", "account_id", "sequence", "line", "remaining", "open")
_PAYOUTS = columns_of(
    payouts,
    *("lane", "account_id", "reference", "sequence", "line", "amount", "fee", "by_hand", "created_at", "state"),
    *("state_sequence", "state_at"),
)
_PAYOUT_CHANGES = columns_of(
    payouts, "lane", "account_id", "reference", "amount", "state", "state_sequence", "state_at"
)
_POLICIES = columns_of(policies)
_SNAPSHOTS = columns_of(
    balance_snapshots, "lane", "account_id", "sequence", "recorded_at", *(bucket.value for bucket in BUCKETS)
)
_DISCREPANCIES = columns_of(discrepancies)
_DISCREPANCY_CHANGES = columns_of(
    discrepancies,
    *("lane", "account_id", "payout", "claimed", "opened_at", "last_at", "times", "closed_sequence"),
)
_ACCOUNTS = columns_of(
    accounts,
    *("lane", "id", *(bucket.value for bucket in BUCKETS)),
    *("sequence", "recorded_at", "head", "state", "policy", "next_due_at", "closed_until"),
)


async def write(connection: AsyncConnection, sheets: Iterable[Sheet]) -> None:
    """Everything that is new or changed on the sheets. InvariantError when a row was not where it should be."""
    changed = [sheet for sheet in sheets if sheet.has_changed]
    if not changed:
        return
    await insert_rows(connection, _ENTRIES, [row for sheet in changed for row in _entries(sheet)])
    await insert_rows(connection, _POSTINGS, [row for sheet in changed for row in _postings(sheet)])
    await insert_rows(connection, _POLICIES, [row for sheet in changed for row in _policies(sheet)])
    await insert_rows(connection, _SNAPSHOTS, [row for sheet in changed for row in _snapshots(sheet)])
    await insert_rows(connection, _LOTS, [row for sheet in changed for row in _lots(sheet)])
    await insert_rows(connection, _PAYOUTS, [row for sheet in changed for row in _payouts(sheet)])
    await _update(connection, _LOT_CHANGES, 4, [row for sheet in changed for row in _lot_changes(sheet)])
    await _update(connection, _PAYOUT_CHANGES, 3, [row for sheet in changed for row in _payout_changes(sheet)])
    await _write_discrepancies(connection, changed)
    await _update(connection, _ACCOUNTS, 2, [_account(sheet) for sheet in changed])


async def _update(connection: AsyncConnection, columns: Columns, keys: int, rows: Sequence[Sequence[Any]]) -> None:
    found = await update_rows(connection, columns, keys, rows)
    if found != len(rows):
        raise InvariantError(f"Of {len(rows)} rows to change in {columns.table} there were {found}.")


def _account(sheet: Sheet) -> tuple[Any, ...]:
    one = sheet.account
    return (
        *(*sheet.owner, *one.buckets.values(), one.sequence, one.recorded_at, one.head),
        *(one.state.value, one.policy, one.next_due_at, one.closed_until),
    )


def _entries(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for one in sheet.new_entries:
        yield (
            *(*sheet.owner, one.sequence, one.id, one.kind.value, one.reference, one.reason, one.content),
            *(len(one.postings), one.effective_at, one.recorded_at, one.metadata, one.subject, one.detail, one.hash),
        )


def _postings(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for entry in sheet.new_entries:
        for line, one in enumerate(entry.postings):
            yield (*sheet.owner, entry.sequence, line, one.bucket.value, one.amount, *(one.lot or (None, None)))


def _lots(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for key in sheet.new_lots:
        one = sheet.lots[key]
        yield (
            *(*sheet.owner, *key, one.bucket.value, one.source, one.policy, one.due_at, one.amount, one.remaining),
            one.remaining > 0,
        )


def _lot_changes(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for key in sheet.changed_lots:
        remaining = sheet.lots[key].remaining
        yield (*sheet.owner, *key, remaining, remaining > 0)


def _payouts(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for reference in sheet.new_payouts:
        one = sheet.payouts[reference]
        yield (
            *(*sheet.owner, reference, *one.key, one.amount, one.fee, one.by_hand, one.created_at, one.state.value),
            *(one.state_sequence, one.state_at),
        )


def _payout_changes(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for reference in sheet.changed_payouts:
        one = sheet.payouts[reference]
        yield (*sheet.owner, reference, one.amount, one.state.value, one.state_sequence, one.state_at)


def _policies(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for version, policy, sequence in sheet.new_policies:
        yield (
            *(*sheet.owner, version, sequence, policy.fee_percent, policy.fee_fixed, policy.hold_percent),
            *(policy.hold_days, policy.reserve_percent, policy.reserve_days, policy.reserve_base.value),
            *(policy.time_zone, policy.clock_start.value),
        )


def _snapshots(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    for one in sheet.new_snapshots:
        yield (*sheet.owner, one.sequence, one.recorded_at, *one.buckets.values())


async def _write_discrepancies(connection: AsyncConnection, changed: Sequence[Sheet]) -> None:
    new, old = [], []
    for sheet in changed:
        for one in sheet.discrepancies_seen.values():
            key = (*sheet.owner, one.payout, one.claimed.value, one.opened_at)
            if (one.payout, one.claimed, one.opened_at) in sheet.discrepancies_loaded:
                old.append((*key, one.last_at, one.times, one.closed_sequence))
            else:
                new.append((*key, one.state.value, one.last_at, one.times, one.closed_sequence))
    await insert_rows(connection, _DISCREPANCIES, new)
    await _update(connection, _DISCREPANCY_CHANGES, 5, old)
