"""`alikassa profile`: accounts by name, so that a command needs no options."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.connection import DigestSetting
from alikassa.cli.options import JsonOption, parse_uuid
from alikassa.cli.output import message, print_json, print_records, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alikassa.profiles import Profile, Profiles

__all__ = ["app"]

app = typer.Typer(help="Accounts by name: how to reach each, in one file.", no_args_is_help=True)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The profile's name.")]


@app.command(epilog="Example: `alikassa profile add shop --account 93d5df06-996c-48c3-9847-348d6b580b80 --keys payout`")
def add(
    name: NameArgument,
    account: Annotated[str | None, typer.Option("--account", metavar="UUID", help="The account's uuid.")] = None,
    keys: Annotated[
        str | None,
        typer.Option("--keys", metavar="DIR", help="Folder of the payout certificate's archive, or another place."),
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="The server's address.")] = None,
    digest: Annotated[DigestSetting | None, typer.Option("--digest", help="The digest under the signature.")] = None,
    body: Annotated[str | None, typer.Option("--body", metavar="JSON", help="The signed body: {}, [] or null.")] = None,
    fresh: Annotated[
        bool | None, typer.Option("--fresh/--no-fresh", help="Each request is good once, where the server knows it.")
    ] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="For a whole call.")] = None,
    attempt_timeout: Annotated[
        float | None, typer.Option("--attempt-timeout", metavar="SECONDS", help="For a single try.")
    ] = None,
    ca_bundle: Annotated[Path | None, typer.Option("--ca-bundle", help="PEM file to trust instead.")] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", metavar="URL", help="Instead of HTTPS_PROXY.")] = None,
    http2: Annotated[
        bool | None, typer.Option("--http2/--no-http2", help="Speak HTTP/2 to a server that does.")
    ] = None,
    in_keyring: Annotated[
        bool,
        typer.Option("--passphrase-in-keyring", help="Copy the passphrase from password.txt, or what you type."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change a profile of this name; what is not given stays as it was.")
    ] = False,
) -> None:
    """Add a profile. The first one becomes the default.

    The file holds no secret: it names where the key is. Environment variables are not looked at.
    """
    from alikassa.profiles import Profiles, hold_profiles, load_profiles, save_profiles
    from alikassa.profiles.model import IN_FILE, IN_KEYRING, check_name

    check_name(name)
    given = {
        "account": None if account is None else str(parse_uuid(account, "an account")),
        "keys": None if keys is None else _place(keys),
        "base_url": base_url,
        "digest": None if digest is None else digest.value,
        "body": body,
        "fresh": fresh,
        "timeout": timeout,
        "attempt_timeout": attempt_timeout,
        "ca_bundle": None if ca_bundle is None else str(_absolute(ca_bundle)),
        "proxy": proxy,
        "http2": http2,
        # The keyring opens the key that was there.
        "passphrase": IN_KEYRING if in_keyring else IN_FILE if keys is not None else None,
    }
    known = load_profiles()
    profile = _changed(known, name, given, replace=replace)
    if in_keyring:
        # It may ask for the passphrase, or the system for the keyring's: nobody else is kept waiting for that.
        _store(profile.resolved(known.path.parent).keys)
    with hold_profiles(known.path):
        known = load_profiles()
        before = known.by_name.get(name)
        profile = _changed(known, name, given, replace=replace)
        after = Profiles(known.path, known.by_name | {name: profile}, known.default or name)
        save_profiles(after)
    message(f"{'Added' if before is None else 'Changed'} profile {name} in {known.path}.")
    if before is not None:
        _forget_unused(known, name, after)
    if in_keyring:
        message("The passphrase is in the system's keyring. password.txt is not needed by this machine any more.")
    message(f"See it with: alikassa whoami --profile {name}")


@app.command("list", epilog="Example: `alikassa profile list`")
def list_(as_json: JsonOption = False) -> None:
    """List the profiles. The default one is marked."""
    from alikassa.profiles import load_profiles

    known = load_profiles()
    print_records(
        [
            {
                "profile": name,
                "default": (name == known.default) if as_json else ("*" if name == known.default else ""),
                "account": one.account,
                "keys": one.keys,
                "base_url": one.base_url,
            }
            for name, one in known.by_name.items()
        ],
        as_json=as_json,
        empty="No profiles yet. Add one with: alikassa profile add NAME --account UUID --keys DIR",
    )


@app.command(epilog="Example: `alikassa profile show shop`")
def show(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Its name; the default one without.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting of a profile. A setting that it leaves open is as the client has it by default."""
    known, name = _known(name)
    profile = known.find(name)
    settings: dict[str, object] = {
        "profile": name,
        "default": name == known.default,
        **{field: getattr(profile, field) for field in profile.__struct_fields__},
        "proxy": without_password(profile.proxy),
    }
    if as_json:
        print_json(settings)
        return
    print_table(
        ["setting", "value"],
        [[field, in_words(value)] for field, value in settings.items()],
    )


@app.command(epilog="Example: `alikassa profile use shop`")
def use(name: NameArgument) -> None:
    """Make a profile the default: the one of commands that name none."""
    from alikassa.profiles import Profiles, default_path, hold_profiles, save_profiles

    with hold_profiles(default_path()):
        known, name = _known(name)
        save_profiles(Profiles(known.path, known.by_name, name))
    message(f"{name} is the default profile now.")


@app.command(epilog="Example: `alikassa profile remove shop`")
def remove(name: NameArgument) -> None:
    """Remove a profile, and its passphrase from the keyring. The key's files stay."""
    from alikassa.profiles import Profiles, default_path, hold_profiles, save_profiles

    with hold_profiles(default_path()):
        known, name = _known(name)
        rest = {other: profile for other, profile in known.by_name.items() if other != name}
        after = Profiles(known.path, rest, None if known.default == name else known.default)
        save_profiles(after)
    _forget_unused(known, name, after)
    message(f"Removed profile {name}. Its key stays where it is: {known.find(name).keys}")
    if rest and known.default == name:
        message("There is no default profile now. Choose one with: alikassa profile use NAME")


def in_words(value: object) -> str:
    """A setting in a table."""
    return "yes" if value is True else "no" if value is False else "-" if value is None else str(value)


def without_password(url: str | None) -> str | None:
    """A proxy's URL as it may be shown."""
    if url is None or "@" not in url:
        return url
    # The first, and only where a scheme stands before it: a password may hold anything.
    scheme, separator, rest = url.partition("://") if _SCHEME.match(url) else ("", "", url)
    return f"{scheme}{separator}...@{rest.rpartition('@')[2]}"


def _known(name: str | None) -> tuple[Profiles, str]:
    """The profiles, and the name of one of them: the given one, or the default. ConfigurationError without one."""
    from alikassa.errors import ConfigurationError
    from alikassa.profiles import load_profiles

    known = load_profiles()
    name = name or known.default
    if name is None:
        raise ConfigurationError(
            "There is no default profile.", remedy="Name one, or add one: alikassa profile add NAME"
        )
    known.find(name)
    return known, name


def _changed(known: Profiles, name: str, given: Mapping[str, object], *, replace: bool) -> Profile:
    """The profile of that name with what is given, checked. ConfigurationError and InvalidInputError."""
    import msgspec

    from alikassa.errors import ConfigurationError, InvalidInputError
    from alikassa.profiles import Profile

    before = known.by_name.get(name)
    if before is not None and not replace:
        raise ConfigurationError(
            f"There is a profile {name!r} already.", remedy="Change it with --replace, or choose another name."
        )
    fields = {} if before is None else msgspec.to_builtins(before)
    fields |= {field: value for field, value in given.items() if value is not None}
    for field, what in (("account", "account"), ("keys", "key")):
        if field not in fields:
            raise InvalidInputError(f"No {what} is named.", remedy=f"Give --{field}.")
    try:
        return msgspec.convert(fields, Profile).checked()
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"The profile would not be usable: {error}.") from None


def _place(keys: str) -> str:
    """A key's place as the file keeps it: the path of a folder as seen from anywhere."""
    from alikassa.profiles.model import is_path

    return str(_absolute(Path(keys))) if is_path(keys) else keys


def _absolute(path: Path) -> Path:
    from alikassa.errors import InvalidInputError

    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise InvalidInputError(f"{path} names nobody's home folder.", remedy="Write the path out.") from None


def _forget_unused(before: Profiles, name: str, after: Profiles) -> None:
    """Take the passphrase that the profile had out of the keyring, unless another one still uses it."""
    from alikassa.profiles.model import IN_KEYRING
    from alikassa.profiles.passphrases import forget_passphrase

    had = before.find(name)
    used = {after.find(other).keys for other, one in after.by_name.items() if one.passphrase == IN_KEYRING}
    if had.passphrase == IN_KEYRING and had.keys not in used:
        forget_passphrase(had.keys)


def _store(keys: str) -> None:
    """Put the passphrase of the key at `keys` into the keyring, once it has opened the key."""
    from alikassa.errors import InvalidInputError
    from alikassa.keys import open_signer
    from alikassa.profiles.passphrases import store_passphrase

    file = Path(keys) / "password.txt"
    if file.is_file():
        with file.open("rb") as opened:
            passphrase = opened.read(64 * 1024)
    elif sys.stdin.isatty():
        passphrase = str(typer.prompt("Passphrase of the key", hide_input=True, err=True)).encode()
    else:
        raise InvalidInputError(
            f"There is no {file} and no terminal to ask for the passphrase.", remedy="Run it in a terminal."
        )
    try:
        open_signer(keys, passphrase=passphrase)
        store_passphrase(keys, passphrase)
    finally:
        # Some tools print the variables of a traceback.
        del passphrase
