"""The bill of materials of a release, in CycloneDX: what a user gets who installs it with every extra."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from release_wheel import NotReleasableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bill_of_materials", "vendored", "without_tools"]

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
    bill = without_tools(json.loads(file.read_text()))
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", (root / "requirements.lock").read_text(), re.MULTILINE))
    other = [
        f"{one['name']} {one['version']}"
        for one in bill["components"]
        if locked.get(re.sub(r"[-_.]+", "-", one["name"]).lower()) != one["version"]
    ]
    if other:
        file.unlink()
        raise NotReleasableError(
            f"Installed here, and not in requirements.lock so: {', '.join(other)}. Run: make setup"
        )
    bill["components"] += vendored((root / _VENDOR).read_text())
    file.write_text(json.dumps(bill, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return f"dist/{file.name}, {len(bill['components'])} components"


def without_tools(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill with only what the package itself leads to: not the tools that it is tested with."""
    leads = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    waiting, reached = [bill["metadata"]["component"]["bom-ref"]], set[str]()
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting.extend(leads.get(reference, []))
    return bill | {
        "components": [one for one in bill["components"] if one["bom-ref"] in reached],
        "dependencies": [one for one in bill["dependencies"] if one["ref"] in reached],
    }


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
