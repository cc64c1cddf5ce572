"""`alikassa whoami`: which account, key and server a command would use, and why. It asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from alikassa.cli.connection import (
    AccountOption,
    AttemptTimeoutOption,
    BaseUrlOption,
    BodyOption,
    CaBundleOption,
    DigestOption,
    FreshOption,
    Http2Option,
    KeysOption,
    ProfileOption,
    ProxyOption,
    TimeoutOption,
    connection,
    given_options,
)
from alikassa.cli.options import JsonOption
from alikassa.cli.output import print_json, print_table
from alikassa.cli.profile import in_words, without_password
from alikassa.errors import AlikassaError

if TYPE_CHECKING:
    from alikassa.profiles import Profile

__all__ = ["add_to"]

_DEFAULT = "default"


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa whoami --profile shop`")(whoami)


@dataclass(frozen=True)
class Key:
    """What can be told of a key. What is not known is None."""

    bits: int | None
    format: str | None
    fingerprint: str | None


def whoami(
    context: typer.Context,
    profile: ProfileOption = None,
    account: AccountOption = None,
    keys: KeysOption = None,
    base_url: BaseUrlOption = None,
    digest: DigestOption = None,
    body: BodyOption = None,
    fresh: FreshOption = None,
    timeout: TimeoutOption = None,
    attempt_timeout: AttemptTimeoutOption = None,
    ca_bundle: CaBundleOption = None,
    proxy: ProxyOption = None,
    http2: Http2Option = None,
    as_json: JsonOption = False,
) -> None:
    """Show which account, key and server a command would use, and where each setting came from.

    No request is made. The fingerprint is the SHA-256 of the public key (SubjectPublicKeyInfo, DER), to be compared
    with what is registered. Of a key in AWS KMS it is not told: that would have to be asked.
    """
    found = connection(context, profile, given_options(context))
    settings = found.settings
    values = _values(settings)
    sources = {name: found.sources.get(name, _DEFAULT) for name in values}
    # A key that cannot be opened is told after all the rest, which may say why.
    problem: AlikassaError | None = None
    try:
        key = _key(settings)
    except AlikassaError as error:
        key, problem = Key(None, None, None), error
    if as_json:
        print_json(
            {
                "profile": found.profile,
                "settings": {name: {"value": value, "source": sources[name]} for name, value in values.items()},
                "key": {"bits": key.bits, "format": key.format, "fingerprint": key.fingerprint},
            }
        )
    else:
        rows = [("profile", found.profile or "-", "")]
        rows += [(name, in_words(value), sources[name]) for name, value in values.items()]
        size = "-" if key.bits is None else f"RSA {key.bits}"
        rows += [("key", size, ""), ("key format", key.format or "-", ""), ("fingerprint", key.fingerprint or "-", "")]
        print_table(["setting", "value", "from"], rows)
    if problem is not None:
        raise problem


def _values(settings: Profile) -> dict[str, object]:
    """What is in force: the setting, or the client's default."""
    from alikassa.client.core import ATTEMPT_TIMEOUT, BASE_URL, TIMEOUT

    defaults: dict[str, object] = {
        "base_url": BASE_URL,
        "digest": "sha256",
        "body": "{}",
        "fresh": False,
        "timeout": TIMEOUT,
        "attempt_timeout": ATTEMPT_TIMEOUT,
        "http2": False,
    }
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    values["proxy"] = without_password(settings.proxy)
    return {name: defaults.get(name) if value is None else value for name, value in values.items()}


def _key(settings: Profile) -> Key:
    """Opens the key. Raises ConfigurationError or CertificateError."""
    from alikassa.doctor.keyfile import look_at
    from alikassa.keys import public_key_of
    from alikassa.profiles.connect import signer_of

    signer = signer_of(settings)
    # A key service would have to be asked for it, over the network: `doctor` does.
    public = None if settings.keys.startswith("aws-kms:") else public_key_of(signer)
    file = Path(settings.keys).expanduser() / "private.pem"
    form = None
    if file.is_file():
        with file.open("rb") as opened:
            form = str(look_at(opened.read(64 * 1024)))
    if public is None:
        return Key(None, form, None)
    return Key(public.bits, form, public.fingerprint)
