"""Merchants and accounts of a sandbox, as a test handles them. Amounts are text, Decimal or int, never float."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from alikassa.errors import AmountError, InvalidInputError
from alikassa.ledger.commands import (
    Adjustment,
    Chargeback,
    HoldPlace,
    Payment,
    PayoutCancel,
    PayoutCreate,
    PayoutFail,
    PayoutPaid,
    PayoutReturn,
    Refund,
    SetPolicy,
)
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.policy import NO_POLICY, Base, ClockStart, Policy
from alikassa.money import to_units
from alikassa.protocol.messages import decode_balance, encode_balance

if TYPE_CHECKING:
    from pathlib import Path

    from alikassa.client.asynchronous import AsyncClient
    from alikassa.client.sync import Client
    from alikassa.ledger.commands import Command
    from alikassa.ledger.model import Certificate
    from alikassa.protocol.messages import Balance
    from alikassa.testing.files import Archive
    from alikassa.testing.sandbox import Sandbox

__all__ = ["Amount", "Merchant", "SandboxAccount"]

Amount = str | Decimal | int


class Merchant:
    """A merchant with a payout certificate.

    - `keys`: the folder of its payout archive, which asks for balances;
    - `payment_keys`: the folder of its payment archive, which is refused. Made when first asked for.
    """

    def __init__(self, sandbox: Sandbox, id_: uuid.UUID, archive: Archive, certificate: Certificate) -> None:
        self._sandbox = sandbox
        self.id = id_
        self.keys: Path = archive.folder
        self.archives = {Purpose.PAYOUT: archive}
        self._certificate = certificate.id

    @property
    def payment_keys(self) -> Path:
        if Purpose.PAYMENT not in self.archives:
            archive, _ = self._sandbox.certify(self.id, Purpose.PAYMENT)
            self.archives[Purpose.PAYMENT] = archive
        return self.archives[Purpose.PAYMENT].folder

    def account(self, currency: str = "RUB", *, id: uuid.UUID | str | None = None) -> SandboxAccount:  # noqa: A002 - the account's own word
        """Another account of this merchant's."""
        return self._sandbox.account(currency, id=id, merchant=self)

    def allow_sha1(self, *, allowed: bool) -> None:
        """Whether signatures of the payout certificate may use SHA-1. At first they may."""
        self._sandbox.run(self._sandbox.registry.allow_sha1(self._certificate, allowed=allowed))

    def revoke(self) -> None:
        """Revoke the payout certificate, for good: the next request is refused."""
        self._sandbox.run(self._sandbox.registry.revoke_certificate(self._certificate))

    def __repr__(self) -> str:
        return f"Merchant({str(self.id)!r})"


class SandboxAccount:
    """An account: what is booked on it, and who asks for it.

    Whatever is booked returns its reference; one is made up where none is given. What the books refuse is an
    AlikassaError, as on the command line.
    """

    def __init__(self, sandbox: Sandbox, id_: uuid.UUID, currency: str, merchant: Merchant) -> None:
        self._sandbox = sandbox
        self.id = id_
        self.currency = currency
        self.merchant = merchant

    @property
    def keys(self) -> Path:
        """The folder with private.pem, password.txt and public.pem of the payout certificate."""
        return self.merchant.keys

    def client(self, **options: Any) -> Client:
        """A client for this account; `options` are those of `alikassa.Client`."""
        from alikassa.client.sync import Client

        return Client(self.id, options.pop("keys", self.keys), **(self._sandbox.connection | options))

    def async_client(self, **options: Any) -> AsyncClient:
        """As `client`, for asyncio."""
        from alikassa.client.asynchronous import AsyncClient

        return AsyncClient(self.id, options.pop("keys", self.keys), **(self._sandbox.connection | options))

    def balance(self) -> Balance:
        """What the books say now. Nobody is asked over HTTP, and no fault comes between."""
        standing = self._sandbox.run(self._sandbox.find(str(self.id)))
        return decode_balance(
            encode_balance(
                standing.currency,
                standing.balance,
                standing.hold,
                standing.rolling_reserve,
                standing.pending_payouts,
            )
        )

    # Money from customers, and back to them

    def payment(self, amount: Amount, reference: str | None = None) -> str:
        """A customer paid: fee, reserve and hold are taken by the account's policy, the rest may be spent."""
        reference = reference or _new("payment")
        return self._book(Payment(self.id, _units(amount), reference), reference)

    def refund(self, payment: str, amount: Amount, reference: str | None = None) -> str:
        """Give back a part of the payment with that reference, or all of it."""
        reference = reference or _new("refund")
        return self._book(Refund(self.id, payment, _units(amount), reference), reference)

    def chargeback(self, payment: str, amount: Amount, reference: str | None = None) -> str:
        """The customer's bank takes back a part of the payment with that reference, or all of it."""
        reference = reference or _new("chargeback")
        return self._book(Chargeback(self.id, payment, _units(amount), reference), reference)

    def hold(self, amount: Amount, reference: str | None = None) -> str:
        """Move a part of the balance into `hold`, until it is released by hand."""
        reference = reference or _new("hold")
        return self._book(HoldPlace(self.id, _units(amount), reference, "held in the sandbox"), reference)

    def adjust(self, bucket: str, amount: Amount, reference: str | None = None) -> str:
        """Add to one of the four numbers by hand, or take from it: `balance`, `hold`, `rolling_reserve`..."""
        reference = reference or _new("adjustment")
        if bucket not in tuple(Bucket):
            raise InvalidInputError(f"{bucket!r} is none of the four.", remedy=f"Write {', '.join(Bucket)}.")
        return self._book(
            Adjustment(self.id, Bucket(bucket), _units(amount), reference, "adjusted in the sandbox"), reference
        )

    # Payouts

    def payout(self, amount: Amount, reference: str | None = None, *, fee: Amount = 0) -> str:
        """Send money to the merchant's bank: it leaves `balance`, and is in `pending_payouts` until it is final."""
        reference = reference or _new("payout")
        return self._book(PayoutCreate(self.id, _units(amount), reference, _units(fee)), reference)

    def payout_paid(self, reference: str) -> str:
        """The bank paid it."""
        return self._book(PayoutPaid(self.id, reference), reference)

    def payout_fail(self, reference: str) -> str:
        """The bank did not pay: amount and fee are in the balance again at once."""
        return self._book(PayoutFail(self.id, reference), reference)

    def payout_cancel(self, reference: str) -> str:
        """It was stopped: amount and fee are in the balance again at once."""
        return self._book(PayoutCancel(self.id, reference), reference)

    def payout_return(self, reference: str) -> str:
        """Paid, it came back: the amount is in the balance again, the fee is kept."""
        return self._book(PayoutReturn(self.id, reference), reference)

    # Terms

    def policy(
        self,
        *,
        fee_percent: Amount = 0,
        fee_fixed: Amount = 0,
        hold_percent: Amount = 0,
        hold_days: int = 0,
        reserve_percent: Amount = 0,
        reserve_days: int = 0,
        reserve_base: str = NO_POLICY.reserve_base,
        time_zone: str = NO_POLICY.time_zone,
        clock_start: str = NO_POLICY.clock_start,
        reference: str | None = None,
    ) -> str:
        """New terms, for payments from now on. What is not named is not taken."""
        reference = reference or _new("policy")
        if reserve_base not in tuple(Base) or clock_start not in tuple(ClockStart):
            raise InvalidInputError(
                "reserve_base or clock_start is not known.",
                remedy=f"They are {' or '.join(Base)}, and {' or '.join(ClockStart)}.",
            )
        terms = Policy(
            fee_percent=_units(fee_percent),
            fee_fixed=_units(fee_fixed),
            hold_percent=_units(hold_percent),
            hold_days=hold_days,
            reserve_percent=_units(reserve_percent),
            reserve_days=reserve_days,
            reserve_base=Base(reserve_base),
            time_zone=time_zone,
            clock_start=ClockStart(clock_start),
        )
        return self._book(SetPolicy(self.id, terms, reference), reference)

    def _book(self, command: Command, reference: str) -> str:
        self._sandbox.run(self._sandbox.book(command))
        return reference

    def __repr__(self) -> str:
        return f"SandboxAccount({str(self.id)!r}, {self.currency!r})"


def _units(amount: Amount) -> int:
    if isinstance(amount, bool | float) or not isinstance(amount, str | Decimal | int):
        raise AmountError(f"{amount!r} is a {type(amount).__name__}.", remedy='Write amounts as text: "93.84".')
    return to_units(f"{amount:f}" if isinstance(amount, Decimal) else str(amount))


def _new(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:12]}"
