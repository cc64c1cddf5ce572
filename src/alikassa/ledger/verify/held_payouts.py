"""An account's payouts, as its entries say, against their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.commands import PayoutCorrect
from alikassa.ledger.model import Bucket, Kind, LotKey, Payout, PayoutState
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from alikassa.ledger.model import JournalEntry

__all__ = ["HeldPayouts"]

_STATES = {
    Kind.PAYOUT_PAID: PayoutState.PAID,
    Kind.PAYOUT_FAILED: PayoutState.FAILED,
    Kind.PAYOUT_CANCELLED: PayoutState.CANCELLED,
    Kind.PAYOUT_RETURNED: PayoutState.RETURNED,
}


@dataclass(slots=True)
class _Held:
    """A payout's row; its amount, state and last entry so far; the sum of the postings that name it."""

    row: Payout
    amount: int
    pending: int
    state: PayoutState
    sequence: int
    at: datetime

    @property
    def is_over(self) -> bool:
        """It has come where its row says it stays."""
        return self.state is not PayoutState.PENDING and self.sequence == self.row.state_sequence


class HeldPayouts:
    """Keeps those that are pending, or whose rows name a later entry than the journal has come to."""

    def __init__(self, complain: Callable[[int | None, str], None]) -> None:
        self._complain = complain
        #: By the entry that made them.
        self._held: dict[int, dict[LotKey, _Held]] = {}
        #: What all rows together say is pending.
        self.pending = 0
        #: Which payout each correction is about: what settles a discrepancy.
        self.corrected: dict[int, str] = {}

    def book(self, entry: JournalEntry, made: Sequence[Payout]) -> None:
        """Move the payouts on by an entry, with the rows of those that it made."""
        self._make(entry, made)
        touched: dict[LotKey, _Held] = {}
        for posting in entry.postings:
            if posting.bucket is not Bucket.PENDING_PAYOUTS:
                continue
            held = None if posting.lot is None else self._held.get(posting.lot.sequence, {}).get(posting.lot)
            if held is None:
                self._complain(entry.sequence, f"A posting in {posting.bucket} names no payout that is still there.")
                continue
            held.pending += posting.amount
            touched[held.row.key] = held
            if entry.kind not in _STATES:
                self._change_by_hand(entry, held, posting.amount)
        if entry.kind in _STATES or entry.kind is Kind.PAYOUT_CORRECTED:
            touched |= self._turn(entry)
        for held in touched.values():
            self._check(entry, held)

    def _make(self, entry: JournalEntry, made: Sequence[Payout]) -> None:
        for row in made:
            self.pending += row.amount if row.state is PayoutState.PENDING else 0
            maker = entry.postings[row.key.line] if row.key.line < len(entry.postings) else None
            if maker is None or maker.lot != row.key or maker.bucket is not Bucket.PENDING_PAYOUTS:
                self._complain(entry.sequence, f"The payout {row.key} was made by no posting.")
                continue
            self._held.setdefault(entry.sequence, {})[row.key] = _Held(
                row, 0, 0, PayoutState.PENDING, entry.sequence, entry.effective_at
            )
            if row.created_at != entry.effective_at:
                self._complain(entry.sequence, f"The payout {row.key} was made at another time than its row says.")

    def _change_by_hand(self, entry: JournalEntry, held: _Held, amount: int) -> None:
        """Made, drawn on, or given back what was drawn."""
        key = held.row.key
        if key.sequence != entry.sequence and not held.row.by_hand:
            self._complain(entry.sequence, f"The payout {key} was not made by hand, and is changed so.")
        held.amount += amount
        held.state = PayoutState.PENDING if held.amount else PayoutState.CANCELLED
        held.sequence, held.at = entry.sequence, entry.effective_at
        if held.amount < 0:
            self._complain(entry.sequence, f"The payout {key} is drawn to {from_units(held.amount)}.")

    def _turn(self, entry: JournalEntry) -> dict[LotKey, _Held]:
        """The payout that a callback or a correction is about, in its new state."""
        corrected = entry.kind is Kind.PAYOUT_CORRECTED
        of_subject = {} if entry.subject is None else self._held.get(entry.subject, {})
        found = {key: one for key, one in of_subject.items() if _is_about(entry, one.row)}
        if len(found) != 1:
            self._complain(entry.sequence, f"A {entry.kind} is about no payout that its row says was still to change.")
            return {}
        (held,) = found.values()
        state = PayoutState(entry.detail) if corrected else _STATES[entry.kind]
        before = PayoutState.PAID if state is PayoutState.RETURNED else PayoutState.PENDING
        if held.state in (PayoutState.PENDING, state) if corrected else held.state is not before:
            self._complain(entry.sequence, f"The payout {held.row.key} was {held.state}, and became {state}.")
        held.state, held.sequence, held.at = state, entry.sequence, entry.effective_at
        if corrected:
            self.corrected[entry.sequence] = held.row.reference
        return found

    def _check(self, entry: JournalEntry, held: _Held) -> None:
        due = held.amount if held.state is PayoutState.PENDING else 0
        if held.pending != due:
            self._complain(
                entry.sequence,
                f"{from_units(held.pending)} of the payout {held.row.key} are pending, and {held.state} it has"
                f" {from_units(due)}.",
            )
        if held.is_over:
            self._compare(held)
            of_maker = self._held[held.row.key.sequence]
            del of_maker[held.row.key]
            if not of_maker:
                del self._held[held.row.key.sequence]

    def finish(self) -> None:
        """Compare what is left with its rows."""
        for of_maker in self._held.values():
            for held in of_maker.values():
                self._compare(held)

    def _compare(self, held: _Held) -> None:
        row = held.row
        for name, said, is_so in (
            ("state", row.state, held.state),
            ("amount", from_units(row.amount), from_units(held.amount)),
            ("last entry", row.state_sequence, held.sequence),
            ("time of its state", row.state_at, held.at),
        ):
            if said != is_so:
                self._complain(held.sequence, f"The payout {row.key} has the {name} {is_so}, and by its row {said}.")


def _is_about(entry: JournalEntry, payout: Payout) -> bool:
    """Whether this is the payout, of those that its subject made, that a callback or a correction names.

    A correction's reference is its own. What it was told, the payout's reference included, is in its content's hash.
    """
    if entry.kind is not Kind.PAYOUT_CORRECTED:
        return entry.reference == payout.reference
    try:
        told = PayoutCorrect(
            account=entry.account,
            payout=payout.reference,
            to=PayoutState(entry.detail),
            reference=entry.reference,
            reason=entry.reason,
            metadata=msgspec.json.decode(entry.metadata, type=dict[str, str]),
        )
    except (ValueError, msgspec.MsgspecError):
        return False
    return entry.content in (told.content, msgspec.structs.replace(told, effective_at=entry.effective_at).content)
