"""An account's lots, as the postings that name them say, against their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.ledger.model import Bucket, Kind, Lot, LotKey
from alikassa.money import BOUND, from_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from alikassa.ledger.model import JournalEntry, Posting

__all__ = ["BUCKETS_OF_LOTS", "HeldLots", "LotRow"]

BUCKETS_OF_LOTS = (Bucket.HOLD, Bucket.ROLLING_RESERVE)


@dataclass(frozen=True, slots=True)
class LotRow:
    """A lot as its row says, `is_open` in a column of its own."""

    lot: Lot
    is_open: bool


@dataclass(slots=True)
class _Held:
    """The running total of the postings that name the lot, and what was put into it, but for what only came back."""

    row: LotRow
    total: int
    given: int

    @property
    def is_over(self) -> bool:
        """Nothing is left, and the row says so too. It may still come back, by a reversal."""
        return not (self.total or self.row.lot.remaining or self.row.is_open) and self.given == self.row.lot.amount


class HeldLots:
    """Keeps those that are open, or that their rows do not agree about yet."""

    def __init__(self, complain: Callable[[int | None, str], None]) -> None:
        self._complain = complain
        self._held: dict[LotKey, _Held] = {}
        #: What all rows together say remains.
        self.remaining = dict.fromkeys(BUCKETS_OF_LOTS, 0)

    def unknown(self, entry: JournalEntry) -> list[LotKey]:
        """Lots that it names, and that are over or never were: `revive` those that have a row."""
        return [
            one.lot
            for one in entry.postings
            if one.lot is not None
            and one.bucket in BUCKETS_OF_LOTS
            and one.lot.sequence != entry.sequence
            and one.lot not in self._held
        ]

    def revive(self, rows: Iterable[LotRow]) -> None:
        """Lots that were over when they were last looked at."""
        for row in rows:
            self._held[row.lot.key] = _Held(row, 0, row.lot.amount)

    def book(self, entry: JournalEntry, made: Sequence[LotRow], closed_until: datetime | None) -> None:
        """Move the lots on by an entry, with the rows of those that it made."""
        self._make(entry, made)
        for posting in entry.postings:
            if posting.bucket in BUCKETS_OF_LOTS:
                self._move(entry, posting)
        if entry.kind is Kind.RELEASE:
            self._check_release(entry, closed_until)
        for posting in entry.postings:
            if posting.lot in self._held and self._held[posting.lot].is_over:
                del self._held[posting.lot]

    def _make(self, entry: JournalEntry, made: Sequence[LotRow]) -> None:
        for row in made:
            lot = row.lot
            self.remaining[lot.bucket] += lot.remaining
            maker = entry.postings[lot.key.line] if lot.key.line < len(entry.postings) else None
            if maker is None or maker.lot != lot.key or maker.bucket is not lot.bucket:
                self._complain(entry.sequence, f"Lot {lot.key} of {lot.bucket} was made by no posting.")
                continue
            self._held[lot.key] = _Held(row, 0, 0)

    def _move(self, entry: JournalEntry, posting: Posting) -> None:
        held = None if posting.lot is None else self._held.get(posting.lot)
        if posting.lot is None or held is None:
            name = "no lot" if posting.lot is None else f"the lot {posting.lot}, which there is not"
            self._complain(entry.sequence, f"A posting in {posting.bucket} names {name}.")
            return
        if posting.bucket is not held.row.lot.bucket:
            self._complain(entry.sequence, f"A posting in {posting.bucket} names a lot of {held.row.lot.bucket}.")
        held.total += posting.amount
        if posting.amount > 0 and entry.kind is not Kind.REVERSAL:
            held.given = min(held.given + posting.amount, BOUND - 1)
        if held.total < 0:
            self._complain(entry.sequence, f"Lot {posting.lot} is drawn to {from_units(held.total)}.")
        if held.total > held.row.lot.amount:
            self._complain(entry.sequence, f"Lot {posting.lot} is filled to {from_units(held.total)}.")

    def _check_release(self, entry: JournalEntry, closed_until: datetime | None) -> None:
        """Of lots that were due, all that was left, with effect from then; a closed period is not reopened for it."""
        for posting in entry.postings:
            held = None if posting.lot is None else self._held.get(posting.lot)
            if held is None:
                if posting.bucket is not Bucket.BALANCE:
                    self._complain(entry.sequence, f"A release has a posting in {posting.bucket}.")
                continue
            due_at = held.row.lot.due_at
            if due_at is None or due_at > entry.recorded_at:
                due = "never" if due_at is None else moment_text(due_at)
                self._complain(entry.sequence, f"Lot {posting.lot} is released, and due {due}.")
            elif entry.effective_at != (due_at if closed_until is None else max(due_at, closed_until)):
                self._complain(
                    entry.sequence,
                    f"Lot {posting.lot} is due {moment_text(due_at)}, and released with effect from"
                    f" {moment_text(entry.effective_at)}.",
                )
            if held.total:
                self._complain(entry.sequence, f"The release leaves {from_units(held.total)} of lot {posting.lot}.")

    def finish(self) -> datetime | None:
        """Compare what is left with its rows; when the next lot falls due."""
        for key, held in self._held.items():
            lot = held.row.lot
            if lot.remaining != held.total:
                said = f"{from_units(lot.remaining)} remain of lot {key} by its row"
                self._complain(key.sequence, f"{said}, and {from_units(held.total)} by its postings.")
            if lot.amount != held.given:
                said = f"Lot {key} is one of {from_units(lot.amount)} by its row"
                self._complain(key.sequence, f"{said}, and of {from_units(held.given)} by its postings.")
            if held.row.is_open is not (held.total > 0):
                self._complain(key.sequence, f"Lot {key} is {'open' if held.row.is_open else 'over'} by its row only.")
        return min(
            (held.row.lot.due_at for held in self._held.values() if held.total > 0 and held.row.lot.due_at is not None),
            default=None,
        )
