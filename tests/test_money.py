"""Exact amounts."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alikassa.errors import AmountError, InvalidInputError
from alikassa.money import BOUND, check_currency, from_units, to_decimal, to_units, within_bounds

UNITS = st.integers(min_value=-BOUND + 1, max_value=BOUND - 1)


@given(UNITS)
def test_text_and_units_agree_with_decimal_arithmetic(units: int) -> None:
    """Units to text and back is the identity, and the text is what the decimal module computes."""
    with localcontext() as context:
        context.prec = 60
        expected = format((Decimal(units) / 10**8).quantize(Decimal("0.00000001")), "f")
    # Decimal keeps a minus on zero; the wire does not.
    assert from_units(units) == (expected if units else "0.00000000")
    assert to_units(from_units(units)) == units
    assert to_decimal(units) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("93.84", 9_384_000_000),
        ("0", 0),
        ("-0", 0),
        ("-0.00000001", -1),
        ("007.5", 750_000_000),
        ("999999999999999999.99999999", BOUND - 1),
        ("-999999999999999999.99999999", 1 - BOUND),
    ],
)
def test_plain_digits_are_read(text: str, units: int) -> None:
    """Plain decimal text up to the bound is taken, to the last unit."""
    assert to_units(text) == units


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", ".", "1.", ".5", "+1", " 1", "1 ", "1\n", "--1", "1,5", "1_000", "1e3", "1E-3", "NaN", "Infinity"),
        *("0x10", "\u0661", "1.123456789", "1.000000000", "1000000000000000000", "-1000000000000000000", "9" * 70),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Exponents, NaN, underscores, other scripts' digits, more than eight decimals and 10^18 are no amounts."""
    with pytest.raises(AmountError):
        to_units(text)


def test_bounds_exclude_the_bound_itself() -> None:
    """10^18 may not be kept on either side, the unit before it may."""
    assert within_bounds(BOUND - 1)
    assert within_bounds(1 - BOUND)
    assert not within_bounds(BOUND)
    assert not within_bounds(-BOUND)


@pytest.mark.parametrize("code", ["RUB", "USDT", "USD"])
def test_currency_codes_are_taken(code: str) -> None:
    """Capital codes are currencies."""
    assert check_currency(code) == code


@pytest.mark.parametrize("code", ["", "rub", "RU", "R\u0423B", "RUB ", 'RUB"', "1RU", "A" * 11])
def test_other_texts_are_no_currency(code: str) -> None:
    """What could break out of the answer's JSON, or is no code, is refused when an account is opened."""
    with pytest.raises(InvalidInputError):
        check_currency(code)
