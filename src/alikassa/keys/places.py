"""A key's place as text, and the signer for it. The text comes from an argument, an option or a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alikassa.errors import ConfigurationError
from alikassa.protocol import archive
from alikassa.protocol.signatures import Digest, KeySigner

if TYPE_CHECKING:
    import os

    from alikassa.protocol.signatures import Signer

__all__ = ["open_signer"]


def open_signer(
    keys: str | os.PathLike[str], digest: Digest | str | None = None, *, passphrase: bytes | None = None
) -> Signer:
    """The signer for the key at `keys`: the folder of an archive.

    `passphrase` takes the place of the archive's password.txt. Raises ConfigurationError or CertificateError.
    """
    try:
        chosen = Digest(digest or Digest.SHA256)
    except ValueError:
        raise ConfigurationError(f"{digest!r} is no digest.", remedy="Use sha256 or sha1.") from None
    return KeySigner(archive.load(Path(keys).expanduser(), passphrase=passphrase), chosen)
