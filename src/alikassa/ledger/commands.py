"""What can be asked of an account. Each command names its event by a `reference`, once for its account and kind.

Amounts are integers of 10^-8. `effective_at` is when the event took place, None for now: it may lie in the past, for
what is booked late. `metadata` is the caller's own and only kept.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

import msgspec

from alikassa.clock import moment_text
from alikassa.ledger.model import Bucket, Kind, LotKey, PayoutState
from alikassa.ledger.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "COMMANDS",
    "Adjustment",
    "Chargeback",
    "ChargebackReversal",
    "CloseAccount",
    "ClosePeriod",
    "Command",
    "Fee",
    "Freeze",
    "HoldPlace",
    "HoldRelease",
    "OpenLot",
    "OpenPayout",
    "Opening",
    "Payment",
    "PayoutCancel",
    "PayoutCorrect",
    "PayoutCreate",
    "PayoutFail",
    "PayoutPaid",
    "PayoutReturn",
    "Refund",
    "ReserveRelease",
    "Reversal",
    "SetPolicy",
    "Unfreeze",
    "content_hash",
]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands have."""

    effective_at: datetime | None = None
    metadata: dict[str, str] = {}

    kind: ClassVar[Kind]

    @property
    def content(self) -> bytes:
        """What the caller said, hashed: the same reference with other content is a conflict."""
        fields = [_text(getattr(self, name)) for name in self._own()]
        if self.effective_at is not None:
            fields.append(f"effective_at={moment_text(self.effective_at)}")
        fields += [content_hash(("metadata", *one)).hex() for one in sorted(self.metadata.items())]
        return content_hash(fields)

    # Declared in every command; here for whoever handles any of them.
    @property
    def named(self) -> tuple[uuid.UUID, Kind, str]:
        """The account, kind and reference: what a success claims for ever."""
        return self.account, self.kind, self.reference  # type: ignore[attr-defined]

    def _own(self) -> Iterator[str]:
        for name in self.__struct_fields__:
            if name in _NOT_CONTENT or (name in _ONLY_IF_SET and not getattr(self, name)):
                continue
            yield name


#: They name the event rather than say something of it, or are looked at by themselves.
_NOT_CONTENT = frozenset({"account", "reference", "effective_at", "metadata"})
#: Not part of what an older version of the command said.
_ONLY_IF_SET = frozenset({"overdraw"})


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, Policy):
        return "|".join(value.terms)
    if isinstance(value, tuple) and not isinstance(value, LotKey):
        return content_hash(_text(one) for one in value).hex()
    if isinstance(value, OpenLot | OpenPayout):
        return content_hash(_text(getattr(value, name)) for name in value.__struct_fields__).hex()
    return "" if value is None else str(value)


def content_hash(fields: Iterable[str]) -> bytes:
    """SHA-256 over the fields, each with its length before it, so that none can pose as two."""
    parts: list[bytes] = []
    for text in fields:
        encoded = text.encode()
        parts += (len(encoded).to_bytes(8, "big"), encoded)
    return hashlib.sha256(b"".join(parts)).digest()


# Money from customers, and back to them


class Payment(Command, frozen=True):
    """A customer paid `amount`: fee, reserve and hold are taken by the account's policy, the rest may be spent."""

    account: uuid.UUID
    amount: int
    reference: str
    reason: str = ""

    kind = Kind.PAYMENT


class Refund(Command, frozen=True):
    """The merchant gives back `amount` of a payment: from what is held of it, then from the balance."""

    account: uuid.UUID
    payment: str
    amount: int
    reference: str
    reason: str = ""

    kind = Kind.REFUND


class Chargeback(Command, frozen=True):
    """The customer's bank takes `amount` of a payment back. Never refused for lack of money."""

    account: uuid.UUID
    payment: str
    amount: int
    reference: str
    reason: str = ""

    kind = Kind.CHARGEBACK


class ChargebackReversal(Command, frozen=True):
    """A chargeback was won: its whole amount comes back into the balance."""

    account: uuid.UUID
    chargeback: str
    reference: str
    reason: str = ""

    kind = Kind.CHARGEBACK_REVERSAL


# Held sums, by hand


class HoldPlace(Command, frozen=True):
    """Hold `amount` of the balance until it is released by hand."""

    account: uuid.UUID
    amount: int
    reference: str
    reason: str

    kind = Kind.HOLD_PLACED


class _Release(Command, frozen=True):
    """One of `lot`, `payment` and `hold` says what is released; `amount` None is all that is left of it."""

    account: uuid.UUID
    reference: str
    reason: str
    lot: LotKey | None = None
    payment: str | None = None
    hold: str | None = None
    amount: int | None = None


class HoldRelease(_Release, frozen=True):
    """Release held money early: a lot, what a payment still has in `hold`, or a hold that was placed by hand."""

    kind = Kind.HOLD_RELEASED


class ReserveRelease(_Release, frozen=True):
    """Release reserved money early: a lot, or what a payment still has in `rolling_reserve`."""

    kind = Kind.RESERVE_RELEASED


# Payouts. A callback is named by its payout: it is final once.


class PayoutCreate(Command, frozen=True):
    """Send `amount` to the merchant's bank; `fee` is taken from the balance beside it."""

    account: uuid.UUID
    amount: int
    reference: str
    fee: int = 0
    reason: str = ""

    kind = Kind.PAYOUT_CREATED


class _Callback(Command, frozen=True):
    """What the bank says of the payout with this reference."""

    account: uuid.UUID
    reference: str
    reason: str = ""

    state: ClassVar[PayoutState]


class PayoutPaid(_Callback, frozen=True):
    """The bank paid it."""

    kind = Kind.PAYOUT_PAID
    state = PayoutState.PAID


class PayoutFail(_Callback, frozen=True):
    """The bank did not pay: amount and fee are in the balance again at once."""

    kind = Kind.PAYOUT_FAILED
    state = PayoutState.FAILED


class PayoutCancel(_Callback, frozen=True):
    """It was stopped before the bank paid: amount and fee are in the balance again at once."""

    kind = Kind.PAYOUT_CANCELLED
    state = PayoutState.CANCELLED


class PayoutReturn(_Callback, frozen=True):
    """Paid, it came back: the amount is in the balance again, the fee is kept."""

    kind = Kind.PAYOUT_RETURNED
    state = PayoutState.RETURNED


class PayoutCorrect(Command, frozen=True):
    """Bring a final payout into the final state that it truly has, and close its discrepancies.

    May take the balance below zero: the bank has paid, and the books say so.
    """

    account: uuid.UUID
    payout: str
    to: PayoutState
    reference: str
    reason: str

    kind = Kind.PAYOUT_CORRECTED


# Corrections


class Fee(Command, frozen=True):
    """Take a fee from the balance; with `overdraw`, also below zero."""

    account: uuid.UUID
    amount: int
    reference: str
    reason: str
    overdraw: bool = False

    kind = Kind.FEE


class Adjustment(Command, frozen=True):
    """Correct one bucket by hand, against the system account for adjustments.

    In `hold` and `rolling_reserve` it makes a lot by hand or draws on lots, in `pending_payouts` it makes a payout by
    hand or draws on those. With `overdraw`, the balance may fall below zero.
    """

    account: uuid.UUID
    bucket: Bucket
    amount: int
    reference: str
    reason: str
    overdraw: bool = False

    kind = Kind.ADJUSTMENT


class Reversal(Command, frozen=True):
    """Undo an adjustment or a fee: its postings with the opposite sign. Once."""

    account: uuid.UUID
    of_kind: Kind
    of: str
    reference: str
    reason: str

    kind = Kind.REVERSAL


class OpenLot(msgspec.Struct, frozen=True):
    """A held sum that other books handed over."""

    bucket: Bucket
    amount: int
    due_at: datetime | None = None
    source: str = ""


class OpenPayout(msgspec.Struct, frozen=True):
    """A payout under way that other books handed over."""

    reference: str
    amount: int
    fee: int = 0


class Opening(Command, frozen=True):
    """What an account brings from other books: the four numbers, and what the held ones consist of."""

    account: uuid.UUID
    balance: int
    hold: int
    rolling_reserve: int
    pending_payouts: int
    reference: str
    lots: tuple[OpenLot, ...] = ()
    payouts: tuple[OpenPayout, ...] = ()
    reason: str = ""

    kind = Kind.OPENING


# No money


class SetPolicy(Command, frozen=True):
    """New terms, for payments from now on."""

    account: uuid.UUID
    policy: Policy
    reference: str
    reason: str = ""

    kind = Kind.POLICY_SET


class Freeze(Command, frozen=True):
    """No new payouts and no early releases until it is unfrozen."""

    account: uuid.UUID
    reference: str
    reason: str

    kind = Kind.ACCOUNT_FROZEN


class Unfreeze(Command, frozen=True):
    account: uuid.UUID
    reference: str
    reason: str

    kind = Kind.ACCOUNT_UNFROZEN


class CloseAccount(Command, frozen=True):
    """Close an account on which nothing is left."""

    account: uuid.UUID
    reference: str
    reason: str

    kind = Kind.ACCOUNT_CLOSED


class ClosePeriod(Command, frozen=True):
    """Book nothing with effect before `until` any more. The entry itself has effect at `until`, whatever is said."""

    account: uuid.UUID
    until: datetime
    reference: str
    reason: str = ""

    kind = Kind.PERIOD_CLOSED


#: Every command by the kind of entry that it makes.
COMMANDS: dict[Kind, type[Command]] = {
    one.kind: one
    for one in (
        *(Payment, Refund, Chargeback, ChargebackReversal, HoldPlace, HoldRelease, ReserveRelease, PayoutCreate),
        *(PayoutPaid, PayoutFail, PayoutCancel, PayoutReturn, PayoutCorrect, Fee, Adjustment, Reversal, Opening),
        *(SetPolicy, Freeze, Unfreeze, CloseAccount, ClosePeriod),
    )
}
