"""An account as the rules see it, and how an entry moves it on. In memory: no clock, no database.

A sheet holds what was loaded for the commands at hand, not all that the account ever had, and collects what changed.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime, timedelta

import msgspec

from alikassa.errors import InvariantError
from alikassa.ledger.chain import entry_hash, lot_terms, payout_terms, policy_terms
from alikassa.ledger.ids import lane_of, uuid7
from alikassa.ledger.model import (
    HELD,
    Account,
    AccountState,
    Bucket,
    Discrepancy,
    JournalEntry,
    Kind,
    Lot,
    LotKey,
    Payout,
    PayoutState,
    Posting,
    SystemAccount,
)
from alikassa.ledger.policy import NO_POLICY, Policy
from alikassa.ledger.snapshots import Snapshot, is_taken_after
from alikassa.money import from_units, within_bounds

__all__ = ["Draft", "Sheet"]


class Draft(msgspec.Struct):
    """What a rule decided: an entry's postings, and what it makes and changes beside them.

    `account` holds new values for fields of the account. A payout in `payouts` is new, or takes the place of the one
    with its reference.
    """

    sequence: int
    postings: list[Posting] = []
    subject: int | None = None
    detail: str = ""
    lots: list[Lot] = []
    payouts: list[Payout] = []
    policy: Policy | None = None
    state: AccountState | None = None
    closed_until: datetime | None = None
    effective_at: datetime | None = None

    def post(self, bucket: Bucket | SystemAccount, amount: int, lot: LotKey | None = None) -> None:
        """One posting; none for an amount of zero."""
        if amount:
            self.postings.append(Posting(bucket, amount, lot))

    def next_key(self) -> LotKey:
        """The name of what the next posting makes."""
        return LotKey(self.sequence, len(self.postings))

    def open_lot(self, bucket: Bucket, amount: int, source: str, policy: int, due_at: datetime | None) -> None:
        """A new held sum; none for an amount of zero."""
        if amount:
            key = self.next_key()
            self.post(bucket, amount, key)
            self.lots.append(Lot(key, bucket, source, policy, due_at, amount, amount))


class Sheet:
    """One account, in the course of a batch."""

    def __init__(self, account: Account, policy: Policy = NO_POLICY) -> None:
        self.account = account
        #: As it was loaded.
        self.before = account
        #: Its lane and uuid, as its rows begin.
        self.owner = (lane_of(account.id), str(account.id))
        self.policy = policy
        #: Loaded and new, by kind and reference.
        self.entries: dict[tuple[Kind, str], JournalEntry] = {}
        self._by_sequence: dict[int, JournalEntry] = {}
        #: Loaded and new, by the number of the entry that they are about.
        self.followers: dict[int, list[JournalEntry]] = {}
        self.lots: dict[LotKey, Lot] = {}
        self.payouts: dict[str, Payout] = {}
        #: Open ones, by payout and by what was claimed.
        self.discrepancies: dict[tuple[str, PayoutState], Discrepancy] = {}
        #: No lot that was not loaded falls due before it; None when there is none that falls due.
        self.later_due_at: datetime | None = None
        #: Whether money was moved before this batch, as far as it was asked for.
        self.moved_before = False
        #: More lots are due than one batch releases: no command may be decided yet.
        self.more_due = False
        # What the store has to write.
        self.new_entries: list[JournalEntry] = []
        self.new_lots: set[LotKey] = set()
        self.changed_lots: set[LotKey] = set()
        self.new_payouts: set[str] = set()
        self.changed_payouts: set[str] = set()
        self.new_policies: list[tuple[int, Policy, int]] = []
        self.new_snapshots: list[Snapshot] = []
        #: Changed or new, open or settled, by payout, claim and time of opening; and which of them are known.
        self.discrepancies_seen: dict[tuple[str, PayoutState, datetime], Discrepancy] = {}
        self.discrepancies_loaded: set[tuple[str, PayoutState, datetime]] = set()

    def draft(self) -> Draft:
        """An empty draft of the account's next entry."""
        return Draft(self.account.sequence + 1)

    def moment(self, now: datetime) -> datetime:
        """When the next entry is recorded: now, but after the last one, also when the clock was set back."""
        last = self.account.recorded_at
        return now if last is None or now > last else last + timedelta(microseconds=1)

    @property
    def has_moved(self) -> bool:
        """Whether any entry moved money: an account is opened with nothing."""
        return self.moved_before or any(entry.postings for entry in self.new_entries)

    @property
    def has_changed(self) -> bool:
        return self.account is not self.before or bool(self.discrepancies_seen)

    def answered(self, now: datetime) -> Account:
        """The account as a balance request is told it: a sum that was held from a payment of long ago may be due
        as soon as it is booked."""
        next_due_at = self.account.next_due_at
        if next_due_at is None or next_due_at > now:
            return self.account
        buckets = dict(self.account.buckets)
        for lot in self.lots.values():
            if lot.due_at is not None and lot.due_at <= now:
                buckets[lot.bucket] -= lot.remaining
                buckets[Bucket.BALANCE] += lot.remaining
        return msgspec.structs.replace(self.account, buckets=buckets)

    def copy(self) -> Sheet:
        """A sheet of its own, to try on what may have to be undone."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | set | list):
                setattr(other, name, copy(value))
        other.followers = {key: list(value) for key, value in self.followers.items()}
        return other

    def by_sequence(self, sequence: int) -> JournalEntry:
        """An entry that was loaded, or is new."""
        return self._by_sequence[sequence]

    def add_discrepancy(self, one: Discrepancy) -> None:
        """One that was loaded, open or settled."""
        if one.closed_sequence is None:
            self.discrepancies[one.payout, one.claimed] = one
        self.discrepancies_loaded.add((one.payout, one.claimed, one.opened_at))

    def contradict(self, payout: str, state: PayoutState, claimed: PayoutState, now: datetime) -> None:
        """A callback contradicted a final state: open a discrepancy, or count it on the one that is open."""
        one = self.discrepancies.get((payout, claimed))
        if one is None:
            opened_at = now
            # Settled at this very moment, or the clock went back: it is named by when it was opened.
            while (payout, claimed, opened_at) in self.discrepancies_seen.keys() | self.discrepancies_loaded:
                opened_at += timedelta(microseconds=1)
            one = Discrepancy(self.account.id, payout, state, claimed, opened_at, opened_at, 1)
        else:
            one = msgspec.structs.replace(one, last_at=max(now, one.last_at), times=one.times + 1)
        self.discrepancies[payout, claimed] = one
        self.discrepancies_seen[payout, claimed, one.opened_at] = one

    def _settle(self, payout: str, sequence: int) -> None:
        for key in [key for key in self.discrepancies if key[0] == payout]:
            one = msgspec.structs.replace(self.discrepancies.pop(key), closed_sequence=sequence)
            self.discrepancies_seen[one.payout, one.claimed, one.opened_at] = one

    def add_entry(self, entry: JournalEntry) -> None:
        """An entry that was loaded."""
        self.entries[entry.kind, entry.reference] = entry
        self._by_sequence[entry.sequence] = entry
        if entry.subject is not None:
            self.followers.setdefault(entry.subject, []).append(entry)

    def book(
        self,
        draft: Draft,
        *,
        kind: Kind,
        reference: str,
        now: datetime,
        reason: str = "",
        metadata: str = "{}",
        content: bytes = b"",
    ) -> JournalEntry:
        """Make the draft the account's next entry. InvariantError, and nothing has changed, if it is untrue."""
        moment = self.moment(now)
        entry = JournalEntry(
            id=uuid7(),
            account=self.account.id,
            sequence=draft.sequence,
            kind=kind,
            reference=reference,
            reason=reason,
            metadata=metadata,
            content=content,
            subject=draft.subject,
            detail=draft.detail,
            effective_at=draft.effective_at or moment,
            recorded_at=moment,
            postings=tuple(draft.postings),
        )
        terms: list[str] = []
        for lot in draft.lots:
            terms += lot_terms(lot)
        for payout in draft.payouts:
            if payout.key.sequence == draft.sequence:
                terms += payout_terms(payout)
        policy = self.account.policy
        if draft.policy is not None:
            policy += 1
            terms += policy_terms(policy, draft.policy)
        entry = msgspec.structs.replace(entry, hash=entry_hash(self.account.head, entry, terms))
        buckets, lots = self._moved(entry, draft)
        self._check_payouts(draft, entry)
        self.account = msgspec.structs.replace(
            self.account,
            buckets=buckets,
            sequence=entry.sequence,
            recorded_at=moment,
            head=entry.hash,
            state=draft.state or self.account.state,
            policy=policy,
            closed_until=draft.closed_until or self.account.closed_until,
        )
        if draft.policy is not None:
            self.policy = draft.policy
            self.new_policies.append((policy, draft.policy, entry.sequence))
        self.lots.update(lots)
        self.new_lots.update(lot.key for lot in draft.lots)
        self.changed_lots.update(lots.keys() - self.new_lots)
        for payout in draft.payouts:
            if payout.key.sequence == entry.sequence:
                self.new_payouts.add(payout.reference)
            elif payout.reference not in self.new_payouts:
                self.changed_payouts.add(payout.reference)
            self.payouts[payout.reference] = payout
            if kind is Kind.PAYOUT_CORRECTED:
                self._settle(payout.reference, entry.sequence)
        self.new_entries.append(entry)
        self.add_entry(entry)
        self._take_snapshot()
        # At or before the first due time of any open lot; drawn lots may leave it too early.
        times = [lot.due_at for lot in lots.values() if lot.remaining and lot.due_at is not None]
        times += [self.account.next_due_at] if self.account.next_due_at is not None else []
        self._set_next_due(min(times, default=None))
        return entry

    def _take_snapshot(self) -> None:
        account = self.account
        if account.recorded_at is not None and is_taken_after(account.sequence):
            self.new_snapshots.append(Snapshot(account.sequence, account.recorded_at, account.buckets))

    def _moved(self, entry: JournalEntry, draft: Draft) -> tuple[dict[Bucket, int], dict[LotKey, Lot]]:
        """The buckets and lots after the entry. What is asserted here holds in the books, whatever the rules say."""
        if entry.sequence != self.account.sequence + 1:
            raise InvariantError(f"{entry.kind} {entry.reference!r} does not follow the account's last entry.")
        if sum(posting.amount for posting in entry.postings) != 0:
            raise InvariantError(f"The postings of {entry.kind} {entry.reference!r} do not sum to zero.")
        buckets = dict(self.account.buckets)
        lots = {lot.key: msgspec.structs.replace(lot, remaining=0) for lot in draft.lots}
        for posting in entry.postings:
            if not isinstance(posting.bucket, Bucket):
                continue
            buckets[posting.bucket] += posting.amount
            if (posting.lot is None) is (posting.bucket in HELD):
                raise InvariantError(f"A posting of {entry.kind} {entry.reference!r} on {posting.bucket} names no lot.")
            if posting.lot is None or posting.bucket is Bucket.PENDING_PAYOUTS:
                continue
            lot = lots.get(posting.lot) or self.lots[posting.lot]
            remaining = lot.remaining + posting.amount
            if lot.bucket is not posting.bucket or not 0 <= remaining <= lot.amount:
                raise InvariantError(f"Lot {lot.key} of {from_units(lot.amount)} would keep {from_units(remaining)}.")
            lots[lot.key] = msgspec.structs.replace(lot, remaining=remaining)
        for bucket, total in buckets.items():
            if not within_bounds(total) or (bucket is not Bucket.BALANCE and total < 0):
                raise InvariantError(f"{bucket} would stand at {from_units(total)}.")
        return buckets, lots

    def _check_payouts(self, draft: Draft, entry: JournalEntry) -> None:
        """What is pending moves by exactly what the entry's payouts are pending more or less than before."""
        moved = 0
        for payout in draft.payouts:
            moved += payout.amount if payout.state is PayoutState.PENDING else 0
            before = self.payouts.get(payout.reference)
            moved -= before.amount if before is not None and before.state is PayoutState.PENDING else 0
        if moved != sum(one.amount for one in entry.postings if one.bucket is Bucket.PENDING_PAYOUTS):
            raise InvariantError(f"{entry.kind} {entry.reference!r} moves other sums than its payouts.")

    def refresh_due(self) -> None:
        """After all that is due was released: the next due time, as far as lots were loaded, and never too late."""
        times = [lot.due_at for lot in self.lots.values() if lot.remaining and lot.due_at is not None]
        times += [self.later_due_at] if self.later_due_at is not None else []
        self._set_next_due(min(times, default=None))

    def _set_next_due(self, next_due_at: datetime | None) -> None:
        if next_due_at != self.account.next_due_at:
            self.account = msgspec.structs.replace(self.account, next_due_at=next_due_at)
