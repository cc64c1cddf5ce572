"""Try the built wheel as somebody new: `make try`.

Two environments are made: one with the plain wheel, as a user has it, and one with the `server` extra, in which the
sandbox runs. Then README's own blocks are run: the sandbox's in the one, the client's in the other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
_WITHOUT = re.compile(r"^pip install .*$", re.MULTILINE)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="alikassa-try-") as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True
        )
        (wheel,) = folder.glob("*.whl")
        user, other = _environment(folder / "user", str(wheel)), _environment(folder / "other", f"{wheel}[server]")
        sandbox, client = _blocks("sh", "alikassa sandbox"), _blocks("sh", "alikassa doctor")
        program = _blocks("python", "with Client")
        script = f"""
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT
USER_PATH=$PATH
PATH={other}:$USER_PATH
{_WITHOUT.sub("", sandbox)}
PATH={user}:$USER_PATH
{_WITHOUT.sub("", client)}
python - <<'PYTHON'
{program}
PYTHON
pip list 2>/dev/null || true
"""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALIKASSA_", "PYTHON"))}
        home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config"), "COLUMNS": "120"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=kept | home,
            text=True,
            stdout=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    print(done.stdout)
    if done.returncode or "93.84000000 RUB" not in done.stdout or "The server takes the request" not in done.stdout:
        sys.exit("README's quick start does not work from the wheel.")
    print("README's quick start works from the wheel, without extras.")


def _environment(folder: Path, requirement: str) -> Path:
    """A new environment with that installed in it; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", requirement], check=True)
    return folder / "bin"


def _blocks(language: str, part: str) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in found if part in block)


if __name__ == "__main__":
    main()
