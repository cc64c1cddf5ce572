"""How a command reaches an account: option, then environment, then profile, then the client's own default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alikassa.cli.options import DigestChoice, parse_uuid
from alikassa.errors import InvalidInputError
from alikassa.profiles.model import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AccountOption",
    "BaseUrlOption",
    "BodyOption",
    "CaBundleOption",
    "Connection",
    "DigestOption",
    "KeysOption",
    "ProfileOption",
    "ProxyOption",
    "TimeoutOption",
    "connection",
]

ProfileOption = Annotated[
    str | None, typer.Option("--profile", envvar="ALIKASSA_PROFILE", metavar="NAME", help="A profile, by its name.")
]
AccountOption = Annotated[
    str | None, typer.Option("--account", envvar="ALIKASSA_ACCOUNT", metavar="UUID", help="The account's uuid.")
]
KeysOption = Annotated[
    str | None,
    typer.Option(
        "--keys",
        envvar="ALIKASSA_KEYS",
        metavar="DIR",
        help="Folder of the payout certificate's archive: private.pem and password.txt.",
    ),
]
BaseUrlOption = Annotated[
    str | None, typer.Option("--base-url", envvar="ALIKASSA_BASE_URL", metavar="URL", help="The server's address.")
]
DigestOption = Annotated[
    DigestChoice | None,
    typer.Option("--digest", envvar="ALIKASSA_DIGEST", help="The digest under the signature. [default: sha256]"),
]
BodyOption = Annotated[str | None, typer.Option("--body", help="The signed body: {}, [] or null. [default: {}]")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", help="For the whole call with its retries, in seconds. [default: 30]")
]
CaBundleOption = Annotated[
    Path | None,
    typer.Option("--ca-bundle", envvar="ALIKASSA_CA_BUNDLE", help="PEM file to trust instead of the system's store."),
]
ProxyOption = Annotated[str | None, typer.Option("--proxy", metavar="URL", help="Instead of what HTTPS_PROXY says.")]


@dataclass(frozen=True)
class Connection:
    """The settings of one call, and where each came from: `sources` maps a setting's name to "option",
    "environment" or "profile NAME"; what is in none of them is the client's default."""

    profile: str | None
    settings: Profile
    sources: dict[str, str]


def connection(context: typer.Context, profile: str | None, given: Mapping[str, object]) -> Connection:
    """Put a call's settings together. `given` are the options' values by a profile's field names, None where not given.

    InvalidInputError when no account or no key is known.
    """
    from alikassa.profiles import load_profiles

    known = load_profiles()
    name = profile or known.default
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if name is not None:
        found = known.find(name)
        for field in found.__struct_fields__:
            value = getattr(found, field)
            if value is not None:
                settings[field], sources[field] = value, f"profile {name}"
    for field, value in given.items():
        if value is not None:
            settings[field] = value if isinstance(value, float) else str(value)
            source = context.get_parameter_source(field)
            sources[field] = "option" if source is not None and source.name == "COMMANDLINE" else "environment"
    for field, what in (("account", "account"), ("keys", "key")):
        if field not in settings:
            raise InvalidInputError(
                f"No {what} is named.",
                remedy=f"Give --{field} or ALIKASSA_{field.upper()}, or make a profile: alikassa profile add NAME",
            )
    settings["account"] = str(parse_uuid(settings["account"], "an account"))
    return Connection(name, Profile(**settings), sources)
