"""Whether this commit can be released: `make release-check`.

Nothing is published. Each check says what it found, and what to do about it; the exit code is 1 when one failed. A tree
whose version has no section in the changelog fails nothing, and is told to be no release. What a release is made of is
left in `dist/`: the wheel, and its bill of materials.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from release_materials import bill_of_materials
from release_wheel import NotReleasableError, build_twice, contents_of, differences

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UnreleasedError", "audit", "changelog", "main", "told"]

_AUDIT = (
    *(sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "15"),
)
_SIGN_OFF = "Signed-off-by: NAME <NAME@EXAMPLE.ORG>"
ROOT = Path(__file__).resolve().parent.parent


class UnreleasedError(Exception):
    """Nothing is wrong, and nothing is released."""


def main() -> None:
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("changelog", lambda: changelog(ROOT)),
        ("wheel", lambda: wheel(ROOT, dist)),
        ("materials", lambda: bill_of_materials(ROOT, dist)),
        ("advisories", lambda: audit(ROOT / "requirements.lock")),
    ]
    failed = False
    for name, check in checks:
        try:
            print(f"ok      {name}: {check()}", flush=True)
        except NotReleasableError as error:
            failed = True
            print(f"FAILED  {name}: {error}", flush=True)
        except UnreleasedError as left:
            print(f"NOT YET {name}: {left}", flush=True)
    sys.exit(failed)


def changelog(root: Path) -> str:
    """The version of pyproject.toml has a section with a day, and a line in it of whoever signed it off.

    UnreleasedError when it has none yet, and [Unreleased] says what there is to release.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    text = (root / "CHANGELOG.md").read_text()
    sections = dict(re.findall(r"^## \[([^\]]+)\](.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    name = version if version in sections else "Unreleased"
    said, _, body = sections.get(name, "").partition("\n")
    if re.search(r"^- ", body, re.MULTILINE) is None:
        raise NotReleasableError(
            f"CHANGELOG.md says nothing of {version}. Add a section [Unreleased], and what changed."
        )
    if name == "Unreleased":
        raise UnreleasedError(
            f"nothing is released: CHANGELOG.md has no section of {version}. For its release write"
            f" `## [{version}] - ` and the day over what is in [Unreleased], and below that a line of whoever answers"
            f" for it: `{_SIGN_OFF}`"
        )
    day = said.removeprefix(" - ")
    if not said.startswith(" - ") or not _is_day(day):
        raise NotReleasableError(f"CHANGELOG.md has no day for {version}. Write: ## [{version}] - 2026-12-31")
    signed = re.findall(r"^Signed-off-by: ([^<>\n]*[^<>\s] <[^<>@\s]+@[^<>@\s]+>)$", body, re.MULTILINE)
    if not signed:
        raise NotReleasableError(
            f"Nobody has signed off {version}: its section has no line of whoever answers for it. Write: {_SIGN_OFF}"
        )
    return f"{version} of {day}, signed off by {' and '.join(signed)}"


def _is_day(text: str) -> bool:
    try:
        return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def wheel(root: Path, dist: Path) -> str:
    """Two builds of the last commit are the same file, and in it is the repository's `src` and nothing else."""
    with tempfile.TemporaryDirectory(prefix="alikassa-release-") as name:
        first, second = build_twice(root, Path(name))
        if first.read_bytes() != second.read_bytes():
            raise NotReleasableError(f"Two builds differ: {', '.join(differences(first, second))}")
        counted = contents_of(first, root)
        (dist / first.name).write_bytes(first.read_bytes())
    return f"dist/{first.name}, {counted} files, the same twice over"


def audit(lock: Path) -> str:
    """No package of the lock has a known vulnerability, as far as the advisory service knows each of them."""
    if os.environ.get("ALIKASSA_OFFLINE") == "1":
        return "SKIPPED, as ALIKASSA_OFFLINE=1 says: nobody was asked"
    done = subprocess.run(
        [*_AUDIT, "--requirement", str(lock)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return told(done.stdout, done.stderr)


def told(report: str, errors: str) -> str:
    """What pip-audit's report comes to. It counts a package that its service does not know as one without faults."""
    offline = "Ask where the service can be reached, or set ALIKASSA_OFFLINE=1 to go on without."
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["no answer"])[-1]
        raise NotReleasableError(f"NOT DONE: {last[:300]}. {offline}") from None
    vulnerable = [
        f"{one['name']} {one['version']} ({', '.join(fault['id'] for fault in one['vulns'])})"
        for one in packages
        if one.get("vulns")
    ]
    if vulnerable:
        raise NotReleasableError(
            f"Vulnerable: {'; '.join(vulnerable)}. Take newer ones: make lock LOCK_FLAGS=--upgrade"
        )
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if unknown or not packages:
        raise NotReleasableError(f"NOT DONE for {len(unknown)} of {len(packages)} packages. {offline}")
    return f"none known for {len(packages)} packages"


if __name__ == "__main__":
    main()
