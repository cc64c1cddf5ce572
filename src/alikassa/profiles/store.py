"""The configuration file: read strictly, written with whatever else its owner put into it."""

from __future__ import annotations

import os
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from alikassa.errors import ConfigurationError
from alikassa.profiles.model import Profile, check_name

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
    try:
        if len(content) > _LARGEST_FILE:
            raise ValueError("it is larger than 1 MiB")
        document = msgspec.convert(tomllib.loads(content.decode("utf-8")), _Document)
        for name in document.profiles:
            check_name(name)
        if document.default is not None and document.default not in document.profiles:
            raise ValueError(f"default names {document.default!r}, which is no profile of it")
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{path} is not understood: {error}.".replace("..", "."), remedy="Correct the file, or move it away."
        ) from error
    return Profiles(path, document.profiles, document.default)


def save_profiles(profiles: Profiles) -> None:
    """Write the file (0600) in one step; comments and order of what was there stay."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = profiles.path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        if profiles.default is None:
            document.pop("default", None)
        else:
            document["default"] = profiles.default
        table = document.setdefault("profiles", tomlkit.table(is_super_table=True))
        for name in [name for name in table if name not in profiles.by_name]:
            del table[name]
        for name, profile in profiles.by_name.items():
            fields = msgspec.to_builtins(profile)
            if name in table and dict(table[name].unwrap()) == fields:
                continue
            table[name] = fields
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(tomlkit.dumps(document))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except (OSError, TOMLKitError) as error:
        raise ConfigurationError(f"Cannot write {path}: {error}.") from error
