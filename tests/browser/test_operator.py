"""What an operator reads in the browser."""

from __future__ import annotations

import pytest

from browser.reader import Reader


@pytest.mark.parametrize(
    "path", ["operator", "accounts/search", "merchants", "payouts", "discrepancies", "trial-balance", "requests"]
)
def test_an_operators_page(reader: Reader, path: str) -> None:
    """Each of the operator's pages."""
    reader.log_in("operator")
    reader.go(f"/cabinet/{path}")
    reader.look_at(f"operator-{path.replace('/', '-')}")


def test_a_merchant_as_the_operator_sees_it(reader: Reader) -> None:
    """A merchant's accounts, people and keys."""
    reader.log_in("operator")
    reader.go(f"/cabinet/merchants/{reader.cabinet.merchant}")
    reader.look_at("operator-merchant")
    reader.go(f"/cabinet/merchants/{reader.cabinet.merchant}/keys")
    reader.look_at("operator-keys")
