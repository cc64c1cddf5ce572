"""The messages of `POST /v1/account/balance`, in both directions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ACCOUNT",
    "BALANCE_PATH",
    "CONTENT_TYPE",
    "INVALID",
    "JSON",
    "SIGN",
    "Balance",
    "decode_balance",
    "decode_errors",
    "encode_balance",
    "encode_errors",
]

BALANCE_PATH = "/v1/account/balance"
ACCOUNT = "Account"
SIGN = "Sign"
CONTENT_TYPE = "Content-Type"
JSON = "application/json"

#: The message of every 400.
INVALID = "The given data was invalid."

# An amount on the wire: plain digits. At most 18 before the point (|x| < 10^18) and 18 after it.
_AMOUNT = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_FIELDS = frozenset({"currency", "balance", "hold", "rolling_reserve", "pending_payouts"})
_QUOTED = tuple(f'"{name}"'.encode() for name in _FIELDS)
_CURRENCY = re.compile(r"[A-Za-z0-9]{2,12}", re.ASCII)


@dataclass(frozen=True)
class Balance:
    """What the server answered. The four amounts are disjoint and exact.

    - `balance`: what the merchant can spend now;
    - `hold`: held for a short while after each payment;
    - `rolling_reserve`: held longer, against chargebacks;
    - `pending_payouts`: payouts made and not yet final; None when the server left it out;
    - `raw`: the body as it arrived, fields that this class does not know included;
    - `extra`: those fields, by their names. A number with a point comes as text, so that it stays exact.
    """

    currency: str
    balance: Decimal
    hold: Decimal
    rolling_reserve: Decimal
    pending_payouts: Decimal | None
    raw: bytes = field(repr=False, compare=False)

    @property
    def extra(self) -> Mapping[str, object]:
        fields = _object(self.raw) if self.raw else {}
        return {name: value for name, value in fields.items() if name not in _FIELDS}

    def __str__(self) -> str:
        pending = "not told" if self.pending_payouts is None else f"{self.pending_payouts:f}"
        return (
            f"{self.balance:f} {self.currency}, hold {self.hold:f}, rolling reserve {self.rolling_reserve:f},"
            f" pending payouts {pending}"
        )


def encode_balance(currency: str, balance: str, hold: str, rolling_reserve: str, pending_payouts: str) -> bytes:
    """The body of a 200: five fields in the page's order. Amounts are text with eight decimals, not escaped."""
    return (
        f'{{"currency":"{currency}","balance":"{balance}","hold":"{hold}",'
        f'"rolling_reserve":"{rolling_reserve}","pending_payouts":"{pending_payouts}"}}'
    ).encode("ascii")


def decode_balance(body: bytes) -> Balance:
    """The balance in a 200's body; ProtocolError when it is none.

    Takes the drift that is seen in the wild: bare numbers for strings (exactly, never through a float), other
    counts of decimals, unknown fields, no `pending_payouts`. Refuses what is no amount, and a field that stands twice.
    """
    fields = _object(body)
    _check_once(body)
    currency = fields.get("currency")
    if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
        raise ProtocolError("The answer names no currency.", raw=body[:_RAW])
    return Balance(
        currency=currency,
        balance=_amount(fields, "balance", body),
        hold=_amount(fields, "hold", body),
        rolling_reserve=_amount(fields, "rolling_reserve", body),
        pending_payouts=_amount(fields, "pending_payouts", body) if "pending_payouts" in fields else None,
        raw=body,
    )


def _check_once(body: bytes) -> None:
    """Refuse an answer that says two things of one field: which is meant, nobody knows."""
    # Nearly all are settled by counting. A backslash may hide a name; a name may stand in an inner object, too.
    if b"\\" not in body and all(body.count(name) < 2 for name in _QUOTED):
        return
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("The answer has a field twice, or is too strange to tell.", raw=body[:_RAW]) from error


def _once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs if name in _FIELDS]
    if len(names) != len(set(names)):
        raise ValueError("a field stands twice")


def _amount(fields: dict[str, object], name: str, body: bytes) -> Decimal:
    value = fields.get(name)
    # bool is an int in Python, not on the wire.
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if _AMOUNT.fullmatch(text) is None:
        raise ProtocolError(f"The answer's {name} is not an amount.", raw=body[:_RAW])
    return Decimal(text)


def encode_errors(message: str, errors: Mapping[str, Sequence[str]]) -> bytes:
    """The body of every answer but 200: two keys, `message` and `errors`."""
    return msgspec.json.encode({"message": message, "errors": errors})


def decode_errors(body: bytes) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Message and field messages of a refusal; ProtocolError when the body is no JSON object.

    A field's messages may arrive as one string instead of a list, `errors` as an empty list (as PHP writes an
    empty map) or not at all. Texts are cut to a readable length.
    """
    fields = _object(body)
    message = fields.get("message")
    found = fields.get("errors")
    errors = found if isinstance(found, dict) else {}
    return (
        _short(message) if isinstance(message, str) else "",
        {_short(str(name)): tuple(_texts(value)) for name, value in list(errors.items())[:_MOST]},
    )


def _texts(value: object) -> list[str]:
    values = value[:_MOST] if isinstance(value, list) else [value]
    return [_short(text if isinstance(text, str) else msgspec.json.encode(text).decode()) for text in values]


def _object(body: bytes) -> dict[str, object]:
    try:
        fields = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("The answer is not JSON.", raw=body[:_RAW]) from error
    if not isinstance(fields, dict):
        raise ProtocolError("The answer is not a JSON object.", raw=body[:_RAW])
    return fields


def _short(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= _LONGEST_TEXT else printable[:_LONGEST_TEXT] + "..."


_LONGEST_TEXT = 500
_MOST = 20
_RAW = 200
# A bare number with a point stays the text it was: `str` is what it is handed to.
_DECODER = msgspec.json.Decoder(float_hook=str)
