"""Options of the commands that book, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.clock import parse_moment

if TYPE_CHECKING:
    from alikassa.ledger.model import LotKey

__all__ = [
    "PANEL",
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


def parse_amount(text: str) -> int:
    """Units from plain decimal text: see `money.to_units`."""
    from alikassa.money import to_units

    return to_units(text)


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
