"""Fields that many bodies have, as they are written in JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from alikassa.errors import InvalidInputError
from alikassa.ledger.model import LotKey
from alikassa.ledger.rules.checks import LONGEST_REASON, LONGEST_REFERENCE

__all__ = [
    *("Amount", "LotName", "Moment", "OptionalReason", "Percent", "Reason", "Reference", "SignedAmount"),
    *("lot_key", "utc"),
]

Amount = Annotated[
    str,
    Meta(
        description="Plain decimal text, up to eight decimals. A JSON number is refused.",
        examples=["93.84"],
        extra_json_schema={"pattern": r"^[0-9]{1,18}(\.[0-9]{1,8})?$"},
    ),
]
SignedAmount = Annotated[
    str,
    Meta(
        description="As any amount, and with a minus what is taken away or owed.",
        examples=["-93.84"],
        extra_json_schema={"pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,8})?$"},
    ),
]
Percent = Annotated[str, Meta(description="Per cent, as text.", examples=["2.9"])]
Reference = Annotated[
    str,
    Meta(
        description="Names the event: once for its account and kind.",
        examples=["order-17"],
        extra_json_schema={"minLength": 1, "maxLength": LONGEST_REFERENCE},
    ),
]
Reason = Annotated[
    str,
    Meta(
        description="Why, for whoever reads the books.",
        extra_json_schema={"minLength": 1, "maxLength": LONGEST_REASON},
    ),
]
OptionalReason = Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_REASON})]
LotName = Annotated[
    str,
    Meta(
        description="A held sum: the entry and the posting in it that made it.",
        examples=["17.2"],
        extra_json_schema={"pattern": "^[0-9]+[.][0-9]+$"},
    ),
]

Moment = Annotated[
    datetime,
    Meta(
        description="ISO 8601 with its zone.",
        examples=["2026-01-31T12:00:00Z"],
        extra_json_schema={"type": "string", "format": "date-time"},
    ),
]

_LOT = re.compile(r"([0-9]{1,18})\.([0-9]{1,4})", re.ASCII)


def lot_key(text: str) -> LotKey:
    """The lot that is written `17.2`; InvalidInputError when it is not written so."""
    match = _LOT.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"{text[:64]!r} is not the name of a lot.", remedy="Write it as the books do: 17.2")
    return LotKey(int(match[1]), int(match[2]))


def utc(moment: datetime, name: str) -> datetime:
    """The same moment in UTC. InvalidInputError for one without a zone, or that no calendar has in UTC."""
    if moment.tzinfo is None:
        raise InvalidInputError(f"{name} has no time zone.", remedy="Write it as 2026-01-31T12:00:00Z.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError(f"{name} is out of range.", remedy="Write a year from 1 to 9999.") from None
