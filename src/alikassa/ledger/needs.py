"""What the rules have to see of an account to decide a command: which of its entries, lots and payouts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from alikassa.ledger.commands import (
    Adjustment,
    Chargeback,
    ChargebackReversal,
    HoldRelease,
    Opening,
    Payment,
    PayoutCorrect,
    Refund,
    ReserveRelease,
    Reversal,
)
from alikassa.ledger.model import Bucket, Kind, LotKey

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable

    from alikassa.ledger.commands import Command

__all__ = ["Needs", "OpenLots", "is_alone", "needs_of"]

Reference = tuple["uuid.UUID", Kind, str]

#: Named by their payout.
_PAYOUTS = frozenset(
    {Kind.PAYOUT_CREATED, Kind.PAYOUT_PAID, Kind.PAYOUT_FAILED, Kind.PAYOUT_CANCELLED, Kind.PAYOUT_RETURNED}
)


class OpenLots(NamedTuple):
    """Open lots of a bucket, as many as it takes for `amount`: the oldest first, or the next to be released.

    With `amount` None, all of them.
    """

    bucket: Bucket
    amount: int | None
    by_age: bool


@dataclass
class Needs:
    """Each by its account."""

    #: Entries by kind and reference; of some of them also what was booked about them, and the lots they name.
    entries: set[Reference] = field(default_factory=set)
    followed: set[Reference] = field(default_factory=set)
    with_lots: set[Reference] = field(default_factory=set)
    lots: set[tuple[uuid.UUID, LotKey]] = field(default_factory=set)
    open_lots: dict[uuid.UUID, set[OpenLots]] = field(default_factory=dict)
    #: With their discrepancies.
    payouts: set[tuple[uuid.UUID, str]] = field(default_factory=set)
    #: All pending ones.
    payouts_by_hand: set[uuid.UUID] = field(default_factory=set)
    #: Whether the account ever had a posting.
    moved: set[uuid.UUID] = field(default_factory=set)

    def entry(self, named: Reference, *, followed: bool = False, with_lots: bool = False) -> None:
        self.entries.add(named)
        if followed:
            self.followed.add(named)
        if with_lots:
            self.with_lots.add(named)

    def draws_on(self, account: uuid.UUID, wanted: OpenLots) -> None:
        self.open_lots.setdefault(account, set()).add(wanted)


def is_alone(command: Command) -> bool:
    """Whether nothing else of its account may be in its batch: it draws on lots that others may draw on too.

    Unless both are booked together; then all open lots are seen.
    """
    if isinstance(command, Payment):
        return False
    return isinstance(command, Chargeback) or (
        isinstance(command, Adjustment)
        and command.amount < 0
        and command.bucket in (Bucket.HOLD, Bucket.ROLLING_RESERVE)
    )


def needs_of(commands: Iterable[Command]) -> Needs:
    needs = Needs()
    of_account: Counter[uuid.UUID] = Counter()
    for command in commands:
        needs.entries.add(command.named)
        of_account[command.named[0]] += 1
        _add(needs, command, command.named[0])
    for account, wanted in needs.open_lots.items():
        if of_account[account] > 1:
            needs.open_lots[account] = {one._replace(amount=None) for one in wanted}
    return needs


def _add(needs: Needs, command: Command, account: uuid.UUID) -> None:
    match command:
        case Payment():
            # The most frequent; to find out that it is none of the others would take as long as to hash it.
            pass
        case Refund() | Chargeback() | ChargebackReversal() | Reversal() | HoldRelease() | ReserveRelease():
            _add_subject(needs, command, account)
        case PayoutCorrect():
            needs.payouts.add((account, command.payout))
        case Adjustment(bucket=Bucket.PENDING_PAYOUTS):
            needs.payouts.add((account, command.reference))
            needs.payouts_by_hand.add(account)
        case Adjustment() if is_alone(command):
            needs.draws_on(account, OpenLots(command.bucket, -command.amount, by_age=False))
        case Opening():
            needs.moved.add(account)
            needs.payouts.update((account, payout.reference) for payout in command.payouts)
        case _ if command.kind in _PAYOUTS:
            needs.payouts.add((account, command.named[2]))


def _add_subject(
    needs: Needs,
    command: Refund | Chargeback | ChargebackReversal | Reversal | HoldRelease | ReserveRelease,
    account: uuid.UUID,
) -> None:
    """The entry that a command is about."""
    match command:
        case Refund() | Chargeback():
            needs.entry((account, Kind.PAYMENT, command.payment), followed=True, with_lots=True)
            if isinstance(command, Chargeback):
                needs.draws_on(account, OpenLots(Bucket.ROLLING_RESERVE, command.amount, by_age=True))
        case ChargebackReversal():
            needs.entry((account, Kind.CHARGEBACK, command.chargeback), followed=True)
        case Reversal():
            needs.entry((account, command.of_kind, command.of), followed=True, with_lots=True)
        case _ if command.lot is not None:
            needs.lots.add((account, command.lot))
        case _ if command.payment is not None:
            needs.entry((account, Kind.PAYMENT, command.payment), with_lots=True)
        case _ if command.hold is not None:
            needs.entry((account, Kind.HOLD_PLACED, command.hold), with_lots=True)
