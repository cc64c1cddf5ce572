"""A balance in another form, as other servers write it: the value stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.testing.faults import Drifting

__all__ = ["drift"]


def drift(body: bytes, fault: Drifting) -> bytes:
    """The body of a 200, rewritten. Amounts are text on the way in, and never numbers in between."""
    fields: dict[str, str] = json.loads(body)
    if not fault.pending_payouts:
        fields.pop("pending_payouts", None)
    written = []
    for name, value in fields.items():
        amount = name != "currency"
        text = _with_decimals(value, fault.decimals) if amount else value
        written.append(f"{json.dumps(name)}:{text if amount and fault.numbers else json.dumps(text)}")
    written += [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fault.extra.items()]
    return f"{{{','.join(written)}}}".encode()


def _with_decimals(amount: str, decimals: int) -> str:
    whole, _, fraction = amount.partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole
