"""What the sandbox's control API takes, and what it tells."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alikassa.testing.faults import Fault

__all__ = [
    "Advance",
    "AmountOf",
    "NewAccount",
    "NewMerchant",
    "OfPayment",
    "Payout",
    "SetFault",
    "TellAccount",
    "TellClock",
    "TellFault",
    "TellMerchant",
    "TellReference",
    "Terms",
]

_Text = Annotated[str, Meta(min_length=1, max_length=200)]
# A bare number would have been through a float in the caller's language.
_Amount = Annotated[str, Meta(min_length=1, max_length=64)]
_Days = Annotated[int, Meta(ge=0, le=3650)]
_Time = Annotated[float, Meta(ge=0, le=10_000_000)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body: a field that is not known is a mistake, and told."""


class NewMerchant(_Body, frozen=True):
    name: _Text = "Sandbox shop"


class NewAccount(_Body, frozen=True):
    currency: _Text = "RUB"
    id: uuid.UUID | None = None
    merchant: uuid.UUID | None = None


class AmountOf(_Body, frozen=True):
    """A payment or a hold."""

    amount: _Amount
    reference: _Text | None = None


class OfPayment(_Body, frozen=True):
    """A refund or a chargeback of the payment with that reference."""

    payment: _Text
    amount: _Amount
    reference: _Text | None = None


class Payout(_Body, frozen=True):
    amount: _Amount
    reference: _Text | None = None
    fee: _Amount = "0"


class Terms(_Body, frozen=True):
    """A policy, from the next payment on."""

    fee_percent: _Amount = "0"
    fee_fixed: _Amount = "0"
    hold_percent: _Amount = "0"
    hold_days: _Days = 0
    reserve_percent: _Amount = "0"
    reserve_days: _Days = 0
    reserve_base: _Text = "gross"
    time_zone: _Text = "UTC"
    clock_start: _Text = "payment"
    reference: _Text | None = None


class Advance(_Body, frozen=True):
    days: _Time = 0
    hours: _Time = 0
    minutes: _Time = 0
    seconds: _Time = 0


class SetFault(_Body, frozen=True):
    """`times` None: until cleared. `account` None: for all."""

    fault: Fault
    times: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    account: uuid.UUID | None = None


class TellMerchant(msgspec.Struct, frozen=True):
    merchant: uuid.UUID
    keys: str


class TellAccount(msgspec.Struct, frozen=True):
    """`keys` is a folder of this machine's; the archive is also there as a zip."""

    account: uuid.UUID
    currency: str
    merchant: uuid.UUID
    keys: str
    base_url: str
    ca_bundle: str | None


class TellReference(msgspec.Struct, frozen=True):
    reference: str


class TellClock(msgspec.Struct, frozen=True):
    now: str


class TellFault(msgspec.Struct, frozen=True):
    fault: Any
    left: int | None
    account: str | None
