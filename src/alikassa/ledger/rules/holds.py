"""Held sums: due ones come back by themselves, others by hand."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from alikassa.errors import InsufficientFundsError, InvariantError, NotFoundError
from alikassa.ledger.model import Bucket, Kind
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from alikassa.ledger.commands import HoldPlace, HoldRelease, ReserveRelease
    from alikassa.ledger.model import JournalEntry, Lot
    from alikassa.ledger.sheet import Draft, Sheet

__all__ = ["draw", "in_order_of_age", "in_order_of_release", "lots_of", "place", "release_by_hand", "releases"]


def releases(sheet: Sheet, now: datetime) -> Iterator[Draft]:
    """One draft after another for what is due: each releases all lots of one due time. Book each before the next."""
    next_due_at, closed = sheet.account.next_due_at, sheet.account.closed_until
    if next_due_at is None or next_due_at > now:
        return
    due = [(lot.due_at, lot) for lot in sheet.lots.values() if lot.remaining and lot.due_at and lot.due_at <= now]
    due.sort(key=lambda one: (one[0], one[1].key))
    for due_at, lots in groupby(due, key=lambda one: one[0]):
        draft = sheet.draft()
        # A lot that was drawn on, and given that back after it was due, does not reopen a period closed meanwhile.
        draft.effective_at = due_at if closed is None else max(due_at, closed)
        total = 0
        for _, lot in lots:
            draft.post(lot.bucket, -lot.remaining, lot.key)
            total += lot.remaining
        draft.post(Bucket.BALANCE, total)
        yield draft


def place(command: HoldPlace, sheet: Sheet, _: datetime) -> Draft:
    available = sheet.account.buckets[Bucket.BALANCE]
    if command.amount > available:
        raise _short(sheet, Bucket.BALANCE, command.amount, available)
    draft = sheet.draft()
    draft.post(Bucket.BALANCE, -command.amount)
    draft.open_lot(Bucket.HOLD, command.amount, command.reference, 0, None)
    return draft


def release_by_hand(command: HoldRelease | ReserveRelease, sheet: Sheet, _: datetime) -> Draft:
    bucket = Bucket.HOLD if command.kind is Kind.HOLD_RELEASED else Bucket.ROLLING_RESERVE
    draft = sheet.draft()
    if command.lot is not None:
        found = sheet.lots.get(command.lot)
        if found is None or found.bucket is not bucket:
            raise NotFoundError(
                f"The account has no lot {command.lot} in {bucket}.", remedy="List them: alikassa books explain"
            )
        lots = [found]
    else:
        named = (Kind.PAYMENT, command.payment or "") if command.hold is None else (Kind.HOLD_PLACED, command.hold)
        entry = sheet.entries.get(named)
        if entry is None:
            raise NotFoundError(f"The account has no {named[0]} {named[1]!r}.", remedy="Check its reference.")
        lots = lots_of(entry, sheet, bucket)
        draft.subject = entry.sequence
    available = sum(lot.remaining for lot in lots)
    amount = available if command.amount is None else command.amount
    if amount > available or amount == 0:
        raise _short(sheet, bucket, amount, available, f"what is left of it in {bucket}")
    draw(draft, lots, amount)
    draft.post(Bucket.BALANCE, amount)
    return draft


def lots_of(entry: JournalEntry, sheet: Sheet, bucket: Bucket) -> list[Lot]:
    """The lots of that bucket that the entry made, as they stand now, in the order of its postings."""
    return [
        sheet.lots[posting.lot]
        for posting in entry.postings
        if posting.lot is not None and posting.bucket is bucket and posting.lot.sequence == entry.sequence
    ]


def in_order_of_age(sheet: Sheet, bucket: Bucket) -> list[Lot]:
    """Open lots, the oldest first."""
    return sorted(
        (lot for lot in sheet.lots.values() if lot.remaining and lot.bucket is bucket), key=lambda one: one.key
    )


def in_order_of_release(sheet: Sheet, bucket: Bucket) -> list[Lot]:
    """Open lots: those held by hand, the oldest first, then those that fall due, the next first."""
    return sorted(in_order_of_age(sheet, bucket), key=lambda one: 0.0 if one.due_at is None else one.due_at.timestamp())


def draw(draft: Draft, lots: Sequence[Lot], amount: int) -> int:
    """Take `amount` from the lots, in their order, as far as they go; what is still missing."""
    for lot in lots:
        part = min(lot.remaining, amount)
        draft.post(lot.bucket, -part, lot.key)
        amount -= part
    if amount < 0:
        raise InvariantError("A draw of less than nothing.")
    return amount


def _short(sheet: Sheet, bucket: Bucket, asked: int, available: int, of: str = "") -> InsufficientFundsError:
    return InsufficientFundsError(
        bucket=bucket,
        asked=from_units(asked),
        available=from_units(available),
        currency=sheet.account.currency,
        of=of,
    )
