"""A 200's body, as the client reads it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from alikassa.errors import ProtocolError
from alikassa.protocol.messages import decode_balance
from fuzz.oracle import see_refusal

NUMBERS = ("balance", "hold", "rolling_reserve", "pending_payouts")


def seeds() -> list[bytes]:
    page = (
        b'{"currency":"RUB","balance":"93.84000000","hold":"0.00000000",'
        b'"rolling_reserve":"0.00000000","pending_payouts":"1234.00000000"}'
    )
    return [
        page,
        page.replace(b'"93.84000000"', b"93.84"),
        page.replace(b'"93.84000000"', b"-5"),
        page.replace(b'"93.84000000"', b"1e5"),
        page.replace(b'"93.84000000"', b"1" * 4000),
        page.replace(b'"93.84000000"', b"true"),
        page.replace(b',"pending_payouts":"1234.00000000"', b""),
        page.replace(b'"balance"', b'"\\u0062alance"'),
        page[:-1] + b',"balance":"1"}',
        page[:-1] + b',"new":{"balance":"1","list":[1.5,null,"\\ud83d\\ude00"]}}',
        b"\xef\xbb\xbf" + page,
        b"<html>",
        b"[" * 900 + b"]" * 900,
    ]


def check(data: bytes) -> None:
    """What is taken is what Python's own JSON parser and Decimal make of it, each field once."""
    try:
        balance = decode_balance(data)
    except ProtocolError as error:
        see_refusal(error, data)
        assert len(error.raw) <= 200
        return
    twice: list[str] = []

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    said = json.loads(data, parse_float=str, object_pairs_hook=fields)
    assert not {"currency", *NUMBERS} & set(twice), f"taken, with {twice} twice"
    assert balance.currency == said["currency"]
    assert balance.currency.isascii()
    for name in NUMBERS:
        amount = getattr(balance, name)
        if name not in said:
            assert (name, amount) == ("pending_payouts", None)
            continue
        assert amount == Decimal(said[name])
        assert abs(amount) < 10**18
    assert set(balance.extra) == set(said) - {"currency", *NUMBERS}
    assert len(str(balance)) < 500
