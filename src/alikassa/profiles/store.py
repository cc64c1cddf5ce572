"""The configuration file: read strictly, written with whatever else its owner put into it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from alikassa.errors import ConfigurationError
from alikassa.profiles.model import Profile, check_name

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

__all__ = ["Profiles", "default_path", "load_profiles", "save_profiles"]

_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True)
class Profiles:
    """The profiles by name, and which one is used when none is named."""

    path: Path
    by_name: dict[str, Profile] = field(default_factory=dict)
    default: str | None = None

    def find(self, name: str) -> Profile:
        """The profile, its paths absolute. ConfigurationError when there is none of that name."""
        found = self.by_name.get(name)
        if found is None:
            known = ", ".join(self.by_name) or "none"
            raise ConfigurationError(
                f"There is no profile {name!r} in {self.path}.", remedy=f"Known: {known}. Add one: alikassa profile add"
            )
        return found.resolved(self.path.parent)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    profiles: dict[str, Profile] = {}
    default: str | None = None


def default_path() -> Path:
    """`config.toml` in the user's configuration folder; ALIKASSA_CONFIG names another file."""
    named = os.environ.get("ALIKASSA_CONFIG")
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_config_path("alikassa") / "config.toml"


def load_profiles(path: Path | None = None) -> Profiles:
    """What the file says; no profiles when it is not there. ConfigurationError when it cannot be understood."""
    path = path or default_path()
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return Profiles(path)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}.") from error
    # Loaded for who has a file.
    import tomllib

    try:
        if len(content) > _LARGEST_FILE:
            raise ValueError("it is larger than 1 MiB")
        document = msgspec.convert(tomllib.loads(content.decode("utf-8")), _Document)
        for name, profile in document.profiles.items():
            check_name(name)
            if (field_ := profile.unprintable()) is not None:
                raise ValueError(f"{field_} of {name} holds control characters")
        if document.default is not None and document.default not in document.profiles:
            raise ValueError(f"default names {document.default!r}, which is no profile of it")
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{path} is not understood: {str(error).rstrip('.')}.", remedy="Correct the file, or move it away."
        ) from error
    return Profiles(path, document.profiles, document.default)


def save_profiles(profiles: Profiles) -> None:
    """Write the file (0600) in one step; comments and order of what was there stay.

    Who changes what was there reads it anew and saves it within `hold_profiles`. Raises ConfigurationError when it
    cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = profiles.path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        _bring_in(profiles, document)
        _replace(path, tomlkit.dumps(document))
    except (OSError, TOMLKitError) as error:
        raise ConfigurationError(f"Cannot write {path}: {error}.") from error


def _bring_in(profiles: Profiles, document: TOMLDocument) -> None:
    """Change the document where it says something else, and only there."""
    import tomlkit

    if profiles.default is None:
        document.pop("default", None)
    elif document.get("default") != profiles.default:
        document["default"] = profiles.default
    table = document.setdefault("profiles", tomlkit.table(is_super_table=True))
    for name in [name for name in table if name not in profiles.by_name]:
        del table[name]
    for name, profile in profiles.by_name.items():
        fields = msgspec.to_builtins(profile)
        if name not in table:
            table[name] = fields
            continue
        for field_ in [field_ for field_ in table[name] if field_ not in fields]:
            del table[name][field_]
        for field_, value in fields.items():
            if table[name].get(field_) != value:
                table[name][field_] = value


def _replace(path: Path, text: str) -> None:
    import tempfile

    # A link stays a link: some keep their configuration elsewhere.
    target = path.resolve()
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{path.name}.")  # 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
