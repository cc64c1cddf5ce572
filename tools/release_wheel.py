"""The wheel of a release: built twice, and looked into."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NotReleasableError", "build_twice", "contents_of", "differences"]


class NotReleasableError(Exception):
    """What is wrong, and what to do."""


def build_twice(root: Path, folder: Path) -> tuple[Path, Path]:
    """Two wheels of the last commit; the folder, the time zone, the language and the rights of new files differ."""
    epoch = _git(root, "log", "-1", "--format=%ct").decode().strip()
    archive = _git(root, "archive", "HEAD")
    surroundings = (
        ("one", 0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}),
        ("another/deeper", 0o077, {"TZ": "Asia/Kamchatka", "LC_ALL": "C", "PYTHONHASHSEED": "2"}),
    )
    unpack = ("tar", "-x", "--no-same-permissions")
    built: list[Path] = []
    for name, umask, settings in surroundings:
        source, out = folder / name / "source", folder / name / "out"
        source.mkdir(parents=True)
        # The second gets the time of now for each file, where the first has the commit's.
        touch = ["--touch"] if built else []
        subprocess.run([*unpack, *touch], cwd=source, input=archive, check=True, umask=umask)
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
            cwd=source,
            env=os.environ | settings | {"SOURCE_DATE_EPOCH": epoch},
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )
        if done.returncode:
            raise NotReleasableError(f"The wheel cannot be built: {done.stderr.strip()[-500:]}")
        built.extend(out.glob("*.whl"))
    return built[0], built[1]


def differences(one: Path, other: Path) -> list[str]:
    """Files of two wheels that are not alike, in content or in what the archive says of them."""

    def told(wheel: Path) -> dict[str, tuple[object, ...]]:
        with zipfile.ZipFile(wheel) as opened:
            return {info.filename: (info.CRC, info.date_time, info.external_attr) for info in opened.infolist()}

    ours, theirs = told(one), told(other)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)) or ["their order"]


def contents_of(wheel: Path, root: Path) -> int:
    """How many files it has: those of `src`, the examples that the cabinet shows, the licence, and its own records.

    Raises NotReleasableError for any other, for one that is missing, and for a vendored script without its licence.
    """
    with zipfile.ZipFile(wheel) as opened:
        found = opened.namelist()
    settings = tomllib.loads(_git(root, "show", "HEAD:pyproject.toml").decode())
    shown = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    files = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "src").decode().split("\0")
    expected = {name.removeprefix("src/") for name in files if name} | set(shown.values())
    package, version = settings["project"]["name"], settings["project"]["version"]
    records = f"{package}-{version}.dist-info"
    expected |= {f"{records}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    expected.add(f"{records}/licenses/LICENSE")
    for what, names in (("lacks", expected - set(found)), ("should not have", set(found) - expected)):
        if names:
            raise NotReleasableError(f"The wheel {what} {', '.join(sorted(names)[:10])}")
    vendored = {name for name in found if "/vendor/" in name}
    for script in (name for name in vendored if name.endswith(".js")):
        folder, _, file = script.rpartition("/")
        if f"{folder}/{file.partition('.')[0]}.LICENSE" not in vendored:
            raise NotReleasableError(f"The wheel has {script} without its licence: add one beside it.")
    return len(found)


def _git(root: Path, *command: str) -> bytes:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, check=True).stdout
