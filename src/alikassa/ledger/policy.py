"""What is taken and held from an account's payments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.money import SCALE, from_units

__all__ = ["NO_POLICY", "Base", "ClockStart", "Policy", "Withheld", "check_policy", "due", "withhold"]

#: Percentages are integers of 10^-8 percent, as amounts are of 10^-8 of the currency: 2.9 % is 290,000,000.
_WHOLE = 100 * SCALE
_MOST_DAYS = 3650


class Base(StrEnum):
    """What the rolling reserve's percentage is taken of: the payment, or what the fee leaves of it."""

    GROSS = "gross"
    NET = "net"


class ClockStart(StrEnum):
    """When the days begin to count: with the payment, or with the end of its day in the account's time zone."""

    PAYMENT = "payment"
    DAY_END = "day_end"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an account's terms. Percentages in 10^-8 percent, `fee_fixed` in units, periods in days."""

    fee_percent: int = 0
    fee_fixed: int = 0
    hold_percent: int = 0
    hold_days: int = 0
    reserve_percent: int = 0
    reserve_days: int = 0
    reserve_base: Base = Base.GROSS
    time_zone: str = "UTC"
    clock_start: ClockStart = ClockStart.PAYMENT

    @property
    def terms(self) -> tuple[str, ...]:
        """Everything, as text: what the hash chain covers."""
        return (
            from_units(self.fee_percent),
            from_units(self.fee_fixed),
            from_units(self.hold_percent),
            str(self.hold_days),
            from_units(self.reserve_percent),
            str(self.reserve_days),
            self.reserve_base,
            self.time_zone,
            self.clock_start,
        )


#: For accounts that were given none: nothing is taken, nothing is held.
NO_POLICY = Policy()


class Withheld(msgspec.Struct, frozen=True):
    """What a payment's gross amount is divided into; `balance` is negative when the fee exceeds the payment."""

    fee: int
    reserve: int
    hold: int
    balance: int


def check_policy(policy: Policy) -> None:
    """InvalidInputError when the terms cannot be kept."""
    for name in ("fee_percent", "hold_percent", "reserve_percent"):
        if not 0 <= getattr(policy, name) <= _WHOLE:
            raise InvalidInputError(f"{name} is {from_units(getattr(policy, name))}.", remedy="Write 0 to 100.")
    if not 0 <= policy.fee_fixed < 10**18 * SCALE:
        raise InvalidInputError(f"fee_fixed is {from_units(policy.fee_fixed)}.", remedy="Write 0 or more.")
    for name in ("hold_days", "reserve_days"):
        if not 0 <= getattr(policy, name) <= _MOST_DAYS:
            raise InvalidInputError(f"{name} is {getattr(policy, name)}.", remedy=f"Write 0 to {_MOST_DAYS}.")
    try:
        _zone(policy.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInputError(
            f"{policy.time_zone[:64]!r} is not a time zone.", remedy="Write its IANA name, such as Europe/Moscow."
        ) from None


def withhold(policy: Policy, gross: int) -> Withheld:
    """Percentages round down; the remainder stays in `balance`. When fee, reserve and hold together exceed the
    payment, the reserve is cut first, then the hold; a fee that exceeds it alone is borne by the balance."""
    fee = gross * policy.fee_percent // _WHOLE + policy.fee_fixed
    base = gross if policy.reserve_base is Base.GROSS else max(gross - fee, 0)
    reserve = base * policy.reserve_percent // _WHOLE if policy.reserve_days else 0
    hold = gross * policy.hold_percent // _WHOLE if policy.hold_days else 0
    reserve -= min(reserve, max(fee + reserve + hold - gross, 0))
    hold -= min(hold, max(fee + reserve + hold - gross, 0))
    return Withheld(fee, reserve, hold, gross - fee - reserve - hold)


@lru_cache(maxsize=4096)
def due(policy: Policy, start: datetime, days: int) -> datetime:
    """When a sum is released that is held for so many days: counted by the calendar of the account's time zone."""
    if policy.time_zone == "UTC" and policy.clock_start is ClockStart.PAYMENT:
        return start + timedelta(days=days)
    local = start.astimezone(_zone(policy.time_zone))
    if policy.clock_start is ClockStart.DAY_END:
        local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
    # By the wall clock: at the same hour, also across a change to summer time.
    return (local + timedelta(days=days)).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
