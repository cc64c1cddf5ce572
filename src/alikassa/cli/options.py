"""Options that several commands share."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated

import typer

__all__ = [
    "AccountArgument",
    "DatabaseOption",
    "DigestChoice",
    "JsonOption",
    "PurposeChoice",
    "parse_account",
    "parse_uuid",
]


class DigestChoice(StrEnum):
    SHA256 = "sha256"
    SHA1 = "sha1"


class PurposeChoice(StrEnum):
    PAYMENT = "payment"
    PAYOUT = "payout"


DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="ALIKASSA_DATABASE",
        metavar="URL",
        help="sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def parse_uuid(text: str, what: str) -> uuid.UUID:
    """A uuid given on the command line; InvalidInputError when it is none."""
    import re

    from alikassa.errors import InvalidInputError

    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is None:
        raise InvalidInputError(
            f"{text[:64]!r} is not the id of {what}.", remedy="Write a uuid: 8-4-4-4-12 hexadecimal digits."
        )
    return uuid.UUID(text)


def parse_account(text: str) -> uuid.UUID:
    return parse_uuid(text, "an account")


AccountArgument = Annotated[
    uuid.UUID, typer.Argument(metavar="ACCOUNT", parser=parse_account, help="The account's uuid.")
]
