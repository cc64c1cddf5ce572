"""Rows as the pages read them. Columns that `alikassa.ledger.rows` leaves out come last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa.ledger import rows
from alikassa.ledger.bulk import units
from alikassa.ledger.model import BUCKETS, LotKey, Posting
from alikassa.ledger.snapshots import Snapshot
from alikassa.ledger.verify.held_lots import LotRow
from alikassa.ledger.verify.replay import PolicyRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.ledger.model import Account, JournalEntry, Payout

__all__ = ["account", "entry", "lot", "payout", "policy", "posting", "snapshot"]


def account(row: Sequence[Any]) -> tuple[Account, int]:
    return rows.account(row), row[-1]


def entry(row: Sequence[Any]) -> tuple[JournalEntry, int]:
    return rows.entry(row, ()), row[-1]


def posting(row: Sequence[Any]) -> tuple[int, Posting]:
    _, _, bucket, amount, lot_sequence, lot_line, line = row
    if (lot_sequence is None) is not (lot_line is None):
        raise ValueError("it names half a lot")
    return line, Posting(
        rows.place(bucket), units(amount), None if lot_sequence is None else LotKey(lot_sequence, lot_line)
    )


def lot(row: Sequence[Any]) -> LotRow:
    return LotRow(rows.lot(row)[1], bool(row[-1]))


def payout(row: Sequence[Any]) -> Payout:
    return rows.payout(row)[1]


def policy(row: Sequence[Any]) -> PolicyRow:
    _, version, policy = rows.policy(row)
    return PolicyRow(version, row[-1], policy)


def snapshot(row: Sequence[Any]) -> Snapshot:
    sequence, recorded_at, *amounts = row
    return Snapshot(sequence, rows.moment(recorded_at), dict(zip(BUCKETS, map(units, amounts), strict=True)))
