"""A key's place as text, and the signer for it. The text comes from an argument, an option or a profile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from alikassa.errors import ConfigurationError
from alikassa.keys import memory
from alikassa.protocol import archive
from alikassa.protocol.signatures import KeySigner

if TYPE_CHECKING:
    import os

    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["check_text", "open_signer"]

_SCHEME = re.compile(r"([a-z][a-z0-9+-]+):", re.ASCII)
_LONGEST = 4096
_PLACES = "Name the archive's folder, or env:NAME, pkcs11:token=...;object=..., aws-kms:KEY."


def open_signer(
    keys: str | os.PathLike[str], digest: Digest | str | None = None, *, passphrase: bytes | None = None
) -> Signer:
    """The signer for the key at `keys`:

    - a path: the folder of an archive;
    - `env:NAME`: an environment variable with the private key, its passphrase in NAME_PASSPHRASE;
    - `pkcs11:...`: a key in a token, as RFC 7512 writes it;
    - `aws-kms:KEY`: a key in AWS KMS, by its id, alias or ARN.

    `passphrase` takes the place of the archive's password.txt, of NAME_PASSPHRASE, of the token's PIN.
    Raises ConfigurationError or CertificateError; what a key service has to say, the signer raises when it is used.
    """
    choice = memory.chosen(digest)
    try:
        if not isinstance(keys, str):
            return KeySigner(archive.load(_folder(keys), passphrase=passphrase), choice)
        check_text(keys)
        return _open(keys, choice, passphrase)
    finally:
        # Some tools print the variables of a traceback.
        del passphrase


def _open(keys: str, digest: Digest, passphrase: bytes | None) -> Signer:
    found = _SCHEME.match(keys)
    scheme, rest = (found[1], keys[found.end() :]) if found else ("", keys)
    try:
        if scheme == "env":
            return memory.from_environment(rest, digest, passphrase)
        if scheme == "pkcs11":
            from alikassa.keys.token import TokenSigner
            from alikassa.keys.token_uri import parse_token_uri

            return TokenSigner(parse_token_uri(keys), digest, pin=passphrase)
        if scheme == "aws-kms":
            from alikassa.keys.kms import KmsSigner

            if passphrase is not None:
                raise ConfigurationError(
                    "A key in AWS KMS has no passphrase.", remedy="Leave it out; KMS asks for AWS credentials."
                )
            return KmsSigner(rest, digest)
        if scheme and not Path(keys).is_dir():
            raise ConfigurationError(f"{scheme}: is no place where keys are known to be.", remedy=_PLACES)
        return KeySigner(archive.load(_folder(keys), passphrase=passphrase), digest)
    finally:
        del passphrase


def _folder(keys: str | os.PathLike[str]) -> Path:
    try:
        return Path(keys).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{keys} names nobody's home folder.", remedy="Write the path out.") from None


def check_text(keys: str) -> None:
    """Refuses the key itself in place of where it is, and does not repeat it."""
    if "-----BEGIN" in keys or "\n" in keys or (keys.startswith(("MII", "LS0tLS1CRUdJTi")) and len(keys) > 200):
        raise ConfigurationError(
            "This looks like the key itself, not like the place where it is.",
            remedy="Put it into an environment variable and name that: env:ALIKASSA_PRIVATE_KEY",
        )
    if not keys or "\0" in keys or len(keys) > _LONGEST:
        raise ConfigurationError("This is no place of a key.", remedy=_PLACES)
