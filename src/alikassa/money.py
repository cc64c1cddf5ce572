"""Exact amounts and currencies.

Inside, an amount is a Python integer of 10^-8 of the currency ("units"). Outside, it is text with exactly eight
decimals. A float never holds money.
"""

from __future__ import annotations

import re
from decimal import Decimal

from alikassa.errors import AmountError, InvalidInputError

__all__ = [
    "BOUND",
    "DECIMALS",
    "SCALE",
    "check_currency",
    "from_units",
    "to_decimal",
    "to_units",
    "within_bounds",
]

DECIMALS = 8
SCALE: int = 10**DECIMALS
#: Every amount and every total stays strictly between -BOUND and BOUND units: |x| < 10^18.
BOUND: int = 10**18 * SCALE

_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,9}", re.ASCII)
_LONGEST = 64


def to_units(text: str) -> int:
    """Amount in units from plain decimal text such as `93.84` or `-0.00000001`.

    Refuses (AmountError) what is no plain amount: floats' exponents, NaN, underscores, signs other than a leading
    minus, spaces, more than eight decimals, 10^18 and more.
    """
    match = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
        raise AmountError(f"{shown!r} is not an amount.", remedy="Write plain digits, such as 93.84 or -5.")
    sign, whole, fraction = match.groups(default="")
    if len(fraction) > DECIMALS:
        raise AmountError(
            f"{text} has {len(fraction)} decimals; the books keep {DECIMALS}.",
            remedy="Round it yourself first.",
        )
    units = int(whole) * SCALE + int(fraction.ljust(DECIMALS, "0"))
    if units >= BOUND:
        raise AmountError(f"{text} is too large: amounts stay below 10^18.")
    return -units if sign else units


def from_units(units: int) -> str:
    """Text with exactly eight decimals, as it stands on the wire and in the database: `93.84000000`."""
    digits = f"{units:010d}" if units < 0 else f"{units:09d}"
    return f"{digits[:-DECIMALS]}.{digits[-DECIMALS:]}"


def to_decimal(units: int) -> Decimal:
    """The same amount as a Decimal, whatever the precision of the current decimal context."""
    return Decimal(from_units(units))


def within_bounds(units: int) -> bool:
    """Whether an amount or a total may be kept at all."""
    return -BOUND < units < BOUND


def check_currency(code: str) -> str:
    """The code itself, or InvalidInputError. Three to ten capital letters or digits: RUB, USDT."""
    if _CURRENCY.fullmatch(code) is None:
        raise InvalidInputError(f"{code!r} is not a currency code.", remedy="Write it in capitals, such as RUB.")
    return code
