"""What the operator sends: one shape a command, with amounts as text, and the command that it means.

A JSON body is decoded straight into these. What a field may be beyond its type is judged when the command is made
and checked, command by command, so that one wrong amount in a bulk refuses that one command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.ledger import commands
from alikassa.ledger.model import Bucket, Kind, PayoutState
from alikassa.ledger.policy import Base, ClockStart, Policy
from alikassa.money import to_units
from alikassa.server.operator.fields import (
    Amount,
    LotName,
    Moment,
    OptionalReason,
    Percent,
    Reason,
    Reference,
    SignedAmount,
    lot_key,
    utc,
)

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.commands import Command

__all__ = ["BODIES", "Body", "Terms"]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all commands have. `effective_at` is when it took place, if not now."""

    reference: Reference
    effective_at: Moment | None = None
    metadata: dict[str, str] = {}

    def command(self, account: uuid.UUID) -> Command:
        """The command on this account; AmountError or InvalidInputError for text that means nothing."""
        raise NotImplementedError

    def _common(self, account: uuid.UUID) -> dict[str, Any]:
        common: dict[str, Any] = {"account": account, "reference": self.reference, "metadata": self.metadata}
        if self.effective_at is not None:
            common["effective_at"] = utc(self.effective_at, "effective_at")
        return common


class PaymentBody(Body, frozen=True):
    amount: Amount
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.Payment(amount=to_units(self.amount), reason=self.reason, **self._common(account))


class _OfPayment(Body, frozen=True):
    """What goes back of a payment, which is named by its reference."""

    payment: Reference
    amount: Amount
    reason: OptionalReason = ""


class RefundBody(_OfPayment, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.Refund(
            payment=self.payment, amount=to_units(self.amount), reason=self.reason, **self._common(account)
        )


class ChargebackBody(_OfPayment, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.Chargeback(
            payment=self.payment, amount=to_units(self.amount), reason=self.reason, **self._common(account)
        )


class ChargebackReversalBody(Body, frozen=True):
    chargeback: Reference
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.ChargebackReversal(chargeback=self.chargeback, reason=self.reason, **self._common(account))


class HoldPlacedBody(Body, frozen=True):
    amount: Amount
    reason: Reason

    def command(self, account: uuid.UUID) -> Command:
        return commands.HoldPlace(amount=to_units(self.amount), reason=self.reason, **self._common(account))


class _ReleaseBody(Body, frozen=True):
    """One of `lot`, `payment` and `hold` says what is released; without `amount`, all that is left of it."""

    reason: Reason
    lot: LotName | None = None
    payment: Reference | None = None
    hold: Reference | None = None
    amount: Amount | None = None

    def _release(self, account: uuid.UUID) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "lot": None if self.lot is None else lot_key(self.lot),
            "payment": self.payment,
            "hold": self.hold,
            "amount": None if self.amount is None else to_units(self.amount),
            **self._common(account),
        }


class HoldReleasedBody(_ReleaseBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.HoldRelease(**self._release(account))


class ReserveReleasedBody(_ReleaseBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.ReserveRelease(**self._release(account))


class PayoutCreatedBody(Body, frozen=True):
    amount: Amount
    fee: Amount = "0"
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutCreate(
            amount=to_units(self.amount), fee=to_units(self.fee), reason=self.reason, **self._common(account)
        )


class _CallbackBody(Body, frozen=True):
    """What the bank says of a payout: `reference` is the payout's."""

    reason: OptionalReason = ""


class PayoutPaidBody(_CallbackBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutPaid(reason=self.reason, **self._common(account))


class PayoutFailedBody(_CallbackBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutFail(reason=self.reason, **self._common(account))


class PayoutCancelledBody(_CallbackBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutCancel(reason=self.reason, **self._common(account))


class PayoutReturnedBody(_CallbackBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutReturn(reason=self.reason, **self._common(account))


class PayoutCorrectedBody(Body, frozen=True):
    """`payout` is the payout's reference, `reference` the correction's own."""

    payout: Reference
    to: PayoutState
    reason: Reason

    def command(self, account: uuid.UUID) -> Command:
        return commands.PayoutCorrect(payout=self.payout, to=self.to, reason=self.reason, **self._common(account))


class FeeBody(Body, frozen=True):
    amount: Amount
    reason: Reason
    overdraw: bool = False

    def command(self, account: uuid.UUID) -> Command:
        return commands.Fee(
            amount=to_units(self.amount), reason=self.reason, overdraw=self.overdraw, **self._common(account)
        )


class AdjustmentBody(Body, frozen=True):
    """`amount` is added to the bucket; with a minus, taken from it."""

    bucket: Bucket
    amount: SignedAmount
    reason: Reason
    overdraw: bool = False

    def command(self, account: uuid.UUID) -> Command:
        return commands.Adjustment(
            bucket=self.bucket,
            amount=to_units(self.amount),
            reason=self.reason,
            overdraw=self.overdraw,
            **self._common(account),
        )


class ReversalBody(Body, frozen=True):
    """`of_kind` (adjustment or fee) and `of` name the entry that is undone."""

    of_kind: Kind
    of: Reference
    reason: Reason

    def command(self, account: uuid.UUID) -> Command:
        return commands.Reversal(of_kind=self.of_kind, of=self.of, reason=self.reason, **self._common(account))


class OpeningLot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A held sum from other books. Without `due_at` it is released only by hand."""

    bucket: Bucket
    amount: Amount
    due_at: Moment | None = None
    source: str = ""

    def lot(self) -> commands.OpenLot:
        due_at = None if self.due_at is None else utc(self.due_at, "A lot's due_at")
        return commands.OpenLot(self.bucket, to_units(self.amount), due_at, self.source)


class OpeningPayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payout under way, from other books."""

    reference: Reference
    amount: Amount
    fee: Amount = "0"

    def payout(self) -> commands.OpenPayout:
        return commands.OpenPayout(self.reference, to_units(self.amount), to_units(self.fee))


class OpeningBody(Body, frozen=True):
    """The four numbers from other books, and every lot and payout that the held ones consist of."""

    balance: SignedAmount
    hold: Amount = "0"
    rolling_reserve: Amount = "0"
    pending_payouts: Amount = "0"
    lots: list[OpeningLot] = []
    payouts: list[OpeningPayout] = []
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.Opening(
            balance=to_units(self.balance),
            hold=to_units(self.hold),
            rolling_reserve=to_units(self.rolling_reserve),
            pending_payouts=to_units(self.pending_payouts),
            lots=tuple(one.lot() for one in self.lots),
            payouts=tuple(one.payout() for one in self.payouts),
            reason=self.reason,
            **self._common(account),
        )


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy: what is taken and held from payments. Percentages and `fee_fixed` are text, periods days."""

    fee_percent: Percent = "0"
    fee_fixed: Amount = "0"
    hold_percent: Percent = "0"
    hold_days: int = 0
    reserve_percent: Percent = "0"
    reserve_days: int = 0
    reserve_base: Base = Base.GROSS
    time_zone: str = "UTC"
    clock_start: ClockStart = ClockStart.PAYMENT

    def policy(self) -> Policy:
        return Policy(
            fee_percent=to_units(self.fee_percent),
            fee_fixed=to_units(self.fee_fixed),
            hold_percent=to_units(self.hold_percent),
            hold_days=self.hold_days,
            reserve_percent=to_units(self.reserve_percent),
            reserve_days=self.reserve_days,
            reserve_base=self.reserve_base,
            time_zone=self.time_zone,
            clock_start=self.clock_start,
        )


class PolicySetBody(Body, frozen=True):
    policy: Terms
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.SetPolicy(policy=self.policy.policy(), reason=self.reason, **self._common(account))


class _ReasonedBody(Body, frozen=True):
    reason: Reason


class AccountFrozenBody(_ReasonedBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.Freeze(reason=self.reason, **self._common(account))


class AccountUnfrozenBody(_ReasonedBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.Unfreeze(reason=self.reason, **self._common(account))


class AccountClosedBody(_ReasonedBody, frozen=True):
    def command(self, account: uuid.UUID) -> Command:
        return commands.CloseAccount(reason=self.reason, **self._common(account))


class PeriodClosedBody(Body, frozen=True):
    """Nothing is booked with effect before `until` any more."""

    until: Moment
    reason: OptionalReason = ""

    def command(self, account: uuid.UUID) -> Command:
        return commands.ClosePeriod(until=utc(self.until, "until"), reason=self.reason, **self._common(account))


#: The body of each command, by the kind of the entry that it makes.
BODIES: dict[Kind, type[Body]] = {
    Kind.OPENING: OpeningBody,
    Kind.PAYMENT: PaymentBody,
    Kind.REFUND: RefundBody,
    Kind.CHARGEBACK: ChargebackBody,
    Kind.CHARGEBACK_REVERSAL: ChargebackReversalBody,
    Kind.HOLD_PLACED: HoldPlacedBody,
    Kind.HOLD_RELEASED: HoldReleasedBody,
    Kind.RESERVE_RELEASED: ReserveReleasedBody,
    Kind.PAYOUT_CREATED: PayoutCreatedBody,
    Kind.PAYOUT_PAID: PayoutPaidBody,
    Kind.PAYOUT_FAILED: PayoutFailedBody,
    Kind.PAYOUT_CANCELLED: PayoutCancelledBody,
    Kind.PAYOUT_RETURNED: PayoutReturnedBody,
    Kind.PAYOUT_CORRECTED: PayoutCorrectedBody,
    Kind.FEE: FeeBody,
    Kind.ADJUSTMENT: AdjustmentBody,
    Kind.REVERSAL: ReversalBody,
    Kind.POLICY_SET: PolicySetBody,
    Kind.ACCOUNT_FROZEN: AccountFrozenBody,
    Kind.ACCOUNT_UNFROZEN: AccountUnfrozenBody,
    Kind.ACCOUNT_CLOSED: AccountClosedBody,
    Kind.PERIOD_CLOSED: PeriodClosedBody,
}
