"""What a profile holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IN_FILE", "IN_KEYRING", "Profile", "check_name", "is_path"]

IN_FILE: Literal["file"] = "file"
IN_KEYRING: Literal["keyring"] = "keyring"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+-]+:", re.ASCII)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account and how to ask for it. None means: as the client has it by default.

    - `keys`: an archive's folder, or another place of a key as `alikassa.keys.open_signer` takes it;
    - `digest`: sha256, sha1, or auto, which asks the server;
    - `fresh`: each request is good once;
    - `timeout`: of a whole call, in seconds; `attempt_timeout`: of a single try;
    - `passphrase`: "file" for the archive's password.txt, "keyring" for the system's keyring.
    """

    account: str
    keys: str
    base_url: str | None = None
    digest: Literal["sha256", "sha1", "auto"] | None = None
    body: Literal["{}", "[]", "null"] | None = None
    fresh: bool | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, lt=86_400)] | None = None
    attempt_timeout: Annotated[float, msgspec.Meta(gt=0, lt=86_400)] | None = None
    ca_bundle: str | None = None
    proxy: str | None = None
    http2: bool | None = None
    passphrase: Literal["file", "keyring"] = IN_FILE

    def resolved(self, folder: Path) -> Profile:
        """With the paths in it as seen from `folder`, the one of the configuration file."""
        from pathlib import Path

        def path(text: str | None) -> str | None:
            try:
                return None if text is None else str(folder / Path(text).expanduser())
            except RuntimeError:
                raise ConfigurationError(f"{text} names nobody's home folder.", remedy="Write the path out.") from None

        keys = str(path(self.keys)) if is_path(self.keys) else self.keys
        return msgspec.structs.replace(self, keys=keys, ca_bundle=path(self.ca_bundle))

    def unprintable(self) -> str | None:
        """The name of a setting that holds control characters, which no setting has and a terminal would obey."""
        values = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return next((name for name, value in values if isinstance(value, str) and not value.isprintable()), None)

    def checked(self) -> Profile:
        """The same, each setting one that a client takes. ConfigurationError for what none takes."""
        from alikassa.client.checks import check_account, check_base_url

        if self.unprintable() is not None:
            raise ConfigurationError(f"{self.unprintable()} holds control characters.", remedy="Leave them out.")
        if self.proxy is not None and "@" in self.proxy:
            raise ConfigurationError(
                "A proxy's password does not belong into a profile.",
                remedy="Put it into HTTPS_PROXY or ALIKASSA_PROXY.",
            )
        return msgspec.structs.replace(
            self,
            account=check_account(self.account),
            base_url=None if self.base_url is None else check_base_url(self.base_url),
        )


def is_path(keys: str) -> bool:
    """Whether this place of a key is a folder, and not a token, a variable or a key service."""
    return _SCHEME.match(keys) is None


def check_name(name: str) -> str:
    """A profile's name; ConfigurationError for one that would not stand in a file, a metric or a line."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{name[:64]!r} is no name for a profile.",
            remedy="Use letters, digits, dot, dash and underscore, 64 at most, the first a letter or digit.",
        )
    return name
