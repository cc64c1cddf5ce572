"""Options of the commands that book, and how their texts are read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.options import parse_uuid

if TYPE_CHECKING:
    from alikassa.ledger.model import LotKey

__all__ = [
    "PANEL",
    "AccountArgument",
    "AmountOption",
    "EffectiveAtOption",
    "MetadataOption",
    "OverdrawOption",
    "ReasonOption",
    "ReferenceOption",
    "WhyOption",
    "parse_amount",
    "parse_lot",
    "parse_metadata",
]

#: Under which heading the help lists what books.
PANEL = "Booking"


def parse_account(text: str) -> uuid.UUID:
    return parse_uuid(text, "an account")


def parse_amount(text: str) -> int:
    """Units from plain decimal text: see `money.to_units`."""
    from alikassa.money import to_units

    return to_units(text)


def parse_moment(text: str) -> datetime:
    """A time with its time zone, in UTC; InvalidInputError when it is none."""
    from alikassa.errors import InvalidInputError

    remedy = "Write date, time and time zone: 2026-01-31T12:00:00Z or 2026-01-31T15:00:00+03:00."
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{text[:64]!r} is not a time.", remedy=remedy) from None
    raise InvalidInputError(f"The time {text!r} has no time zone.", remedy=remedy)


def parse_lot(text: str) -> LotKey:
    """A lot's name such as `17.2`: entry 17, posting 2; InvalidInputError when it is none."""
    import re

    from alikassa.errors import InvalidInputError
    from alikassa.ledger.model import LotKey

    # No longer than the database's numbers.
    match = re.fullmatch(r"([0-9]{1,18})\.([0-9]{1,4})", text, re.ASCII)
    if match is None:
        raise InvalidInputError(
            f"{text[:64]!r} is not the name of a lot.", remedy="Write the numbers of its entry and posting, as in 17.2."
        )
    return LotKey(int(match[1]), int(match[2]))


def parse_metadata(texts: Iterable[str] | None) -> dict[str, str]:
    """Pairs written as NAME=VALUE; InvalidInputError for what is none, and for a name that comes twice."""
    from alikassa.errors import InvalidInputError

    pairs: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or name in pairs:
            what = f"The metadata {name[:64]!r} is given twice." if sign else f"The metadata {text[:64]!r} has no '='."
            raise InvalidInputError(what, remedy="Write --metadata NAME=VALUE once for each name.")
        pairs[name] = value
    return pairs


AccountArgument = Annotated[
    uuid.UUID, typer.Argument(metavar="ACCOUNT", parser=parse_account, help="The account's uuid.")
]
AmountOption = Annotated[
    int, typer.Option("--amount", metavar="AMOUNT", parser=parse_amount, help="How much, such as 93.84.")
]
ReferenceOption = Annotated[
    str, typer.Option("--reference", help="Names this event once: repeated, it is booked only once.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for whoever reads the books.", show_default=False)]
#: As `ReasonOption`, for what people decide by hand: then the books ask for it.
WhyOption = Annotated[str, typer.Option("--reason", help="Why, for whoever reads the books.")]
EffectiveAtOption = Annotated[
    datetime | None,
    typer.Option(
        "--effective-at",
        metavar="TIME",
        parser=parse_moment,
        help="When it took place, such as 2026-01-31T12:00:00Z, if not now.",
    ),
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="Anything of your own to keep with it. May be repeated."),
]
OverdrawOption = Annotated[bool, typer.Option("--overdraw", help="Let the balance fall below zero.")]
