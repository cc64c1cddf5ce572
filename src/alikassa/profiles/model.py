"""What a profile holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Profile", "check_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account and how to ask for it. None means: as the client has it by default.

    - `keys`: an archive's folder, or another place of a key as `alikassa.keys.open_signer` takes it;
    - `passphrase`: "file" for the archive's password.txt, "keyring" for the system's keyring.
    """

    account: str
    keys: str
    base_url: str | None = None
    digest: str | None = None
    body: str | None = None
    timeout: float | None = None
    ca_bundle: str | None = None
    proxy: str | None = None
    passphrase: str = "file"  # noqa: S105 - where it is, not what it is

    def resolved(self, folder: Path) -> Profile:
        """With the paths in it as seen from `folder`, the one of the configuration file."""
        from pathlib import Path

        def path(text: str | None) -> str | None:
            return None if text is None else str(folder / Path(text).expanduser())

        keys = self.keys if re.match(r"[a-z][a-z0-9+-]+:", self.keys) else str(path(self.keys))
        return msgspec.structs.replace(self, keys=keys, ca_bundle=path(self.ca_bundle))


def check_name(name: str) -> str:
    """A profile's name; ConfigurationError for one that would not stand in a file, a metric or a line."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{name[:64]!r} is no name for a profile.",
            remedy="Use letters, digits, dot, dash and underscore, 64 at most, the first a letter or digit.",
        )
    return name
