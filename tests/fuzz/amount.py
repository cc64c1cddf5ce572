"""Amounts as people and programs write them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from alikassa.errors import AmountError
from alikassa.money import BOUND, from_units, to_units
from fuzz.oracle import see_refusal


def seeds() -> list[bytes]:
    return [
        *(b"93.84", b"-0.00000001", b"0", b"999999999999999999.99999999", b"-999999999999999999.99999999"),
        *(b"1000000000000000000", b"1.123456789", b"1e5", b"NaN", b"-Infinity", b"1_000", "١٢".encode(), b"+1"),
        *(b" 1", b"1.", b".5", b"-", b"0x10", b"00000.10", b"--1", b"1\n", b"-0"),
    ]


def check(data: bytes) -> None:
    """What is taken is exactly what Decimal makes of it, and its text leads back to it; what is not, is no amount."""
    text = data.decode("utf-8", "replace")
    exact = _exact(text)
    try:
        units = to_units(text)
    except AmountError as error:
        assert exact is None, f"{text!r} is an amount, and was refused"
        see_refusal(error)
        return
    assert exact is not None, f"{text!r} is no amount, and was taken"
    assert units == exact.scaleb(8), f"{text!r} became {units}"
    assert to_units(from_units(units)) == units
    assert Decimal(from_units(units)) == exact


def _exact(text: str) -> Decimal | None:
    """The amount, found without a look at our grammar; None for what is none."""
    if not text or len(text) > 64 or any(character not in "0123456789.-" for character in text):
        return None
    digits = text.removeprefix("-")
    whole, point, fraction = digits.partition(".")
    if not whole or "-" in digits or (point and not fraction) or "." in fraction or len(fraction) > 8:
        return None
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return None
    return exact if abs(exact).scaleb(8) < BOUND else None
