"""How a command reaches an account: option, then environment, then profile, then the client's own default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alikassa.cli.options import parse_uuid
from alikassa.errors import InvalidInputError
from alikassa.profiles.model import IN_FILE, Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AccountOption",
    "AttemptTimeoutOption",
    "BaseUrlOption",
    "BodyOption",
    "CaBundleOption",
    "Connection",
    "DigestOption",
    "DigestSetting",
    "FreshOption",
    "Http2Option",
    "KeysOption",
    "ProfileOption",
    "ProxyOption",
    "TimeoutOption",
    "connection",
    "given_options",
]


class DigestSetting(StrEnum):
    SHA256 = "sha256"
    SHA1 = "sha1"
    AUTO = "auto"


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
        help="Folder of the payout certificate's archive: private.pem and password.txt. Or another place of the key.",
    ),
]
BaseUrlOption = Annotated[
    str | None, typer.Option("--base-url", envvar="ALIKASSA_BASE_URL", metavar="URL", help="The server's address.")
]
DigestOption = Annotated[
    DigestSetting | None,
    typer.Option(
        "--digest",
        envvar="ALIKASSA_DIGEST",
        help="The digest under the signature; auto asks the server. [default: sha256]",
    ),
]
BodyOption = Annotated[
    str | None,
    typer.Option(
        "--body", envvar="ALIKASSA_BODY", metavar="JSON", help="The signed body: {}, [] or null. [default: {}]"
    ),
]
FreshOption = Annotated[
    bool | None,
    typer.Option(
        "--fresh/--no-fresh",
        envvar="ALIKASSA_FRESH",
        help="Sign account, time and a nonce, so that each request is good once. [default: no-fresh]",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        envvar="ALIKASSA_TIMEOUT",
        metavar="SECONDS",
        help="For the whole call with its retries. [default: 30]",
    ),
]
AttemptTimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--attempt-timeout",
        envvar="ALIKASSA_ATTEMPT_TIMEOUT",
        metavar="SECONDS",
        help="For a single try, within the call's time. [default: 10]",
    ),
]
CaBundleOption = Annotated[
    Path | None,
    typer.Option("--ca-bundle", envvar="ALIKASSA_CA_BUNDLE", help="PEM file to trust instead of the system's store."),
]
ProxyOption = Annotated[
    str | None,
    typer.Option("--proxy", envvar="ALIKASSA_PROXY", metavar="URL", help="Instead of what HTTPS_PROXY says."),
]
Http2Option = Annotated[
    bool | None,
    typer.Option(
        "--http2/--no-http2", envvar="ALIKASSA_HTTP2", help="Speak HTTP/2 to a server that does. [default: no-http2]"
    ),
]


@dataclass(frozen=True)
class Connection:
    """The settings of one call, and where each came from.

    `sources` maps a setting's name to "option", "environment" or "profile NAME"; what is not in it is the client's
    default. `profile` is the profile in use, None without one.
    """

    profile: str | None
    settings: Profile
    sources: dict[str, str]


def connection(
    context: typer.Context, profile: str | None, given: Mapping[str, object], *, check: bool = True
) -> Connection:
    """Put a call's settings together. `given` are the options' values by a profile's field names, None where not given.

    InvalidInputError when no account or no key is known, and, unless not to `check`, for an account that is no uuid.
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
            settings[field] = value if isinstance(value, float | bool) else str(value)
            sources[field] = _source(context, field)
    for field, what in (("account", "account"), ("keys", "key")):
        if field not in settings:
            raise InvalidInputError(
                f"No {what} is named.",
                remedy=f"Give --{field} or ALIKASSA_{field.upper()}, or make a profile: alikassa profile add NAME",
            )
    if given.get("keys") is not None:
        # What the profile's keyring opens is the profile's key.
        settings["passphrase"] = IN_FILE
        sources.pop("passphrase", None)
    if check:
        settings["account"] = str(parse_uuid(settings["account"], "an account"))
    return Connection(name, Profile(**settings), sources)


def given_options(context: typer.Context) -> dict[str, object]:
    """What the command was given of a profile's settings, by option or environment, under a profile's field names."""
    return {name: context.params.get(name) for name in Profile.__struct_fields__ if name in context.params}


def _source(context: typer.Context, field: str) -> str:
    source = context.get_parameter_source(field)
    return "option" if source is not None and source.name == "COMMANDLINE" else "environment"
