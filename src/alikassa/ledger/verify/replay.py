"""One account's journal, entry by entry, and the account's row at its end. In memory: no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.ledger.chain import entry_hash, genesis, lot_terms, payout_terms, policy_terms
from alikassa.ledger.model import BUCKETS, HELD, AccountState, Bucket, Kind, SystemAccount
from alikassa.ledger.snapshots import is_taken_after
from alikassa.ledger.verify.held_lots import BUCKETS_OF_LOTS, HeldLots, LotRow
from alikassa.ledger.verify.held_payouts import HeldPayouts
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alikassa.ledger.model import Account, Discrepancy, JournalEntry, Payout
    from alikassa.ledger.policy import Policy
    from alikassa.ledger.snapshots import Snapshot
    from alikassa.ledger.verify.problems import Problems

__all__ = ["Found", "PolicyRow", "Replay"]

_STATES = {
    Kind.ACCOUNT_FROZEN: AccountState.FROZEN,
    Kind.ACCOUNT_UNFROZEN: AccountState.OPEN,
    Kind.ACCOUNT_CLOSED: AccountState.CLOSED,
}
_MOVE_NOTHING = frozenset({*_STATES, Kind.POLICY_SET, Kind.PERIOD_CLOSED})


@dataclass(frozen=True, slots=True)
class PolicyRow:
    version: int
    sequence: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, how many postings it says it has and the numbers of those there are, and what rows say it made."""

    entry: JournalEntry
    lines: int
    numbers: Sequence[int]
    lots: Sequence[LotRow]
    payouts: Sequence[Payout]


class Replay:
    """The account as its journal says, after the entries that were booked on it so far."""

    def __init__(self, account: Account, policies: Sequence[PolicyRow], problems: Problems) -> None:
        self._row = account
        self._problems = problems
        #: By the entries that made them, until those come.
        self._policies: dict[int, list[PolicyRow]] = {}
        for one in policies:
            self._policies.setdefault(one.sequence, []).append(one)
        self.head = genesis(account.id, account.merchant, account.currency)
        self.sequence = 0
        self._recorded_at: datetime | None = None
        self._buckets = dict.fromkeys(BUCKETS, 0)
        #: What went through the system accounts.
        self.system: dict[SystemAccount, int] = {}
        self._state = AccountState.OPEN
        self._version = 0
        self._closed_until: datetime | None = None
        self._earliest: datetime | None = None
        self.lots = HeldLots(self._complain)
        self.payouts = HeldPayouts(self._complain)
        self.is_chained = True

    def _complain(self, sequence: int | None, what: str) -> None:
        self._problems.add(self._row.id, sequence, what)

    def book(self, found: Found) -> None:
        """Check the entry that comes next, and move on by it."""
        self._check_place(found)
        self._check_postings(found)
        policies = self._policies.pop(found.entry.sequence, [])
        self._check_hash(found, policies)
        self._turn(found.entry, [one.version for one in policies])
        for posting in found.entry.postings:
            if isinstance(posting.bucket, Bucket):
                self._buckets[posting.bucket] += posting.amount
            else:
                self.system[posting.bucket] = self.system.get(posting.bucket, 0) + posting.amount
        self.lots.book(found.entry, found.lots, self._closed_until)
        self.payouts.book(found.entry, found.payouts)

    def check_snapshots(self, found: Sequence[Snapshot]) -> None:
        """Those that there are of the entry that was booked last: one after every so many entries, and true."""
        if len(found) != is_taken_after(self.sequence):
            said = "There is a snapshot of" if found else "The snapshot is missing of"
            self._complain(self.sequence, f"{said} what the account stood at after it.")
        for one in found:
            if one.recorded_at != self._recorded_at:
                self._complain(self.sequence, f"Its snapshot says that it was recorded {moment_text(one.recorded_at)}.")
            for bucket in BUCKETS:
                said, is_so = from_units(one.buckets[bucket]), from_units(self._buckets[bucket])
                if said != is_so:
                    self._complain(self.sequence, f"After it {bucket} is {is_so}, and its snapshot says {said}.")

    def _check_place(self, found: Found) -> None:
        entry = found.entry
        if entry.sequence != self.sequence + 1:
            self._complain(entry.sequence, f"It follows entry {self.sequence}: the numbers between are missing.")
        if self._recorded_at is not None and entry.recorded_at <= self._recorded_at:
            self._complain(entry.sequence, "It was recorded no later than the entry before it.")
        if entry.effective_at > entry.recorded_at:
            self._complain(entry.sequence, "It takes effect after it was recorded.")
        if self._closed_until is not None and entry.effective_at < self._closed_until:
            self._complain(
                entry.sequence,
                f"It takes effect {moment_text(entry.effective_at)}, in a period that was closed until"
                f" {moment_text(self._closed_until)}.",
            )
        self.sequence, self._recorded_at = entry.sequence, entry.recorded_at

    def _check_postings(self, found: Found) -> None:
        entry = found.entry
        if list(found.numbers) != list(range(found.lines)):
            numbers = ", ".join(map(str, found.numbers)) or "none"
            self._complain(entry.sequence, f"It has {found.lines} postings, and these were found: {numbers}.")
        total = sum(posting.amount for posting in entry.postings)
        if total:
            self._complain(entry.sequence, f"Its postings sum to {from_units(total)}.")
        if entry.postings and entry.kind in _MOVE_NOTHING:
            self._complain(entry.sequence, f"It moves money, which no {entry.kind} does.")
        for posting in entry.postings:
            if posting.lot is not None and posting.bucket not in HELD:
                self._complain(entry.sequence, f"A posting in {posting.bucket} names the lot {posting.lot}.")

    def _check_hash(self, found: Found, policies: Sequence[PolicyRow]) -> None:
        entry = found.entry
        terms: list[str] = []
        for row in found.lots:
            terms += lot_terms(row.lot)
        for payout in found.payouts:
            terms += payout_terms(payout)
        for one in policies:
            terms += policy_terms(one.version, one.policy)
        if entry_hash(self.head, entry, terms) != entry.hash:
            self.is_chained = False
            self._complain(entry.sequence, f"The hash of this {entry.kind} does not follow from what it says.")
        # What comes next is judged by itself.
        self.head = entry.hash

    def _turn(self, entry: JournalEntry, versions: list[int]) -> None:
        """What an entry does to the account beside moving money."""
        self._state = _STATES.get(entry.kind, self._state)
        if entry.kind is Kind.POLICY_SET:
            self._version += 1
            if versions != [self._version]:
                self._complain(entry.sequence, f"It sets version {self._version} of the policy, whose row is missing.")
        elif versions:
            self._complain(entry.sequence, f"It makes version {versions[0]} of the policy, which no {entry.kind} does.")
        if entry.kind is Kind.PERIOD_CLOSED:
            self._closed_until = entry.effective_at
        elif self._closed_until is None and (self._earliest is None or entry.effective_at < self._earliest):
            self._earliest = entry.effective_at

    def finish(self, discrepancies: Sequence[Discrepancy], closed_periods: Collection[datetime]) -> None:
        """Compare the account's row. `closed_periods` are the ends of those that were closed for all accounts."""
        row = self._row
        for sequence, policies in self._policies.items():
            for policy in policies:
                self._complain(sequence, f"No entry made version {policy.version} of the policy.")
        self.payouts.finish()
        next_due_at = self.lots.finish()
        self._compare("number of entries", row.sequence, self.sequence)
        self._compare("time of its last entry", row.recorded_at, self._recorded_at)
        self._compare("hash of its last entry", row.head.hex(), self.head.hex())
        self._compare("state", row.state, self._state)
        self._compare("policy's version", row.policy, self._version)
        for bucket in BUCKETS:
            self._compare(bucket, from_units(row.buckets[bucket]), from_units(self._buckets[bucket]))
        for bucket in BUCKETS_OF_LOTS:
            self._compare(f"{bucket} in lots", from_units(self.lots.remaining[bucket]), from_units(row.buckets[bucket]))
        pending = row.buckets[Bucket.PENDING_PAYOUTS]
        self._compare("pending_payouts in payouts", from_units(self.payouts.pending), from_units(pending))
        if next_due_at is not None and (row.next_due_at is None or row.next_due_at > next_due_at):
            self._compare("time when it looks for due lots", row.next_due_at, next_due_at)
        self._check_closing(closed_periods)
        for one in discrepancies:
            if one.closed_sequence is not None and self.payouts.corrected.get(one.closed_sequence) != one.payout:
                self._complain(
                    one.closed_sequence, f"It corrects no payout {one.payout!r}, and a discrepancy says it settled it."
                )

    def _check_closing(self, closed_periods: Collection[datetime]) -> None:
        """Closed by an entry of its own or, for an account opened later, with all accounts."""
        closed_until = self._row.closed_until
        if closed_until is None or self._closed_until is not None or closed_until not in closed_periods:
            self._compare("end of its closed period", closed_until, self._closed_until)
        elif self._earliest is not None and self._earliest < closed_until:
            self._complain(None, f"An entry takes effect before {moment_text(closed_until)}, until when it is closed.")

    def _compare(self, name: str, said: object, is_so: object) -> None:
        """What the account's row says, against what its journal does."""
        if said != is_so:
            self._complain(None, f"Its {name} is {_shown(is_so)}, and its row says {_shown(said)}.")


def _shown(value: object) -> str:
    return "none" if value is None else moment_text(value) if isinstance(value, datetime) else str(value)
