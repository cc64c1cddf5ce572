"""The bill of materials of a release, in CycloneDX: what a user gets who installs it with every extra."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release_wheel import NotReleasableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bill_of_materials", "needed", "vendored", "without_tools"]

_WRITER = (
    *(sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "environment", "--pyproject", "pyproject.toml"),
    *("--output-reproducible", "--output-format", "JSON"),
)
_VENDOR = "src/alikassa/cabinet/static/vendor/README.md"


def bill_of_materials(root: Path, dist: Path) -> str:
    """Written from what is installed here, which must be what requirements.lock names."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    file = dist / f"alikassa-{version}.cdx.json"
    done = subprocess.run(
        [*_WRITER, "--output-file", str(file), sys.executable],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotReleasableError(f"cyclonedx-py failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    bill = without_tools(json.loads(file.read_text()), needed("alikassa") - {"alikassa"})
    locked = set(re.findall(r"^([\w.-]+)==([\w.+!-]+)", (root / "requirements.lock").read_text(), re.MULTILINE))
    other = [
        f"{one['name']} {one['version']}"
        for one in bill["components"]
        if (canonicalize_name(one["name"]), one["version"]) not in locked
    ]
    if other:
        file.unlink()
        raise NotReleasableError(
            f"Installed here, and not in requirements.lock so: {', '.join(other)}. Run: make setup"
        )
    bill["components"] += vendored((root / _VENDOR).read_text())
    file.write_text(json.dumps(bill, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return f"dist/{file.name}, {len(bill['components'])} components"


def needed(name: str) -> set[str]:
    """Names of the installed packages that this one leads to, with all its own extras and the ones it asks for."""
    extras = distribution(name).metadata.get_all("Provides-Extra") or []
    waiting, reached = [(canonicalize_name(name), frozenset(extras))], set[tuple[str, frozenset[str]]]()
    while waiting:
        package = waiting.pop()
        if package in reached:
            continue
        reached.add(package)
        for requirement in map(Requirement, distribution(package[0]).requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in package[1] | {""}):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {package for package, _ in reached}


def without_tools(bill: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The bill with only these packages: not the tools that ours is built and tested with."""
    components = [one for one in bill["components"] if canonicalize_name(one["name"]) in names]
    kept = {one["bom-ref"] for one in components}
    root = bill["metadata"]["component"]["bom-ref"]
    dependencies = [
        one | {"dependsOn": [other for other in one.get("dependsOn", []) if other in kept]}
        for one in bill["dependencies"]
        if one["ref"] in kept | {root}
    ]
    return bill | {"components": components, "dependencies": dependencies}


def vendored(table: str) -> list[dict[str, Any]]:
    """Components for the scripts that the cabinet serves, from the table beside them."""
    rows = re.findall(r"^\| ([^|]*\.js[^|]*) \| ([^|]+) \| ([\d.]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return [
        {
            "type": "library",
            "bom-ref": f"{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:npm/{name}@{version}",
            "licenses": [{"license": {"name": licence}}],
        }
        for _, name, version, licence in rows
    ]
