"""What the READMEs show works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import free_port

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.ru.md"]


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)


@pytest.mark.parametrize("readme", READMES)
def test_running_a_server_as_shown(readme: str, tmp_path: Path) -> None:
    """The block that sets up and asks a server, run by a shell as it is, ends with the balance it booked."""
    block = next(block for block in blocks(readme, "sh") if "alikassa serve" in block)
    # Installed it is already, and the port may be in use here.
    script = block.replace("pip install '.[server]'", "").replace("8080", str(free_port()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p)' EXIT\n{script}"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "COLUMNS": "200", "ALIKASSA_OPERATOR_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"RUB +93\.84000000 +0\.00000000 +0\.00000000 +0\.00000000", done.stdout)


@pytest.mark.parametrize("readme", READMES)
def test_keeping_books_as_shown(readme: str, tmp_path: Path) -> None:
    """The block that books and asks, run by a shell as it is, books what it says and finds the books true."""
    block = next(block for block in blocks(readme, "sh") if "payment record" in block and "alikassa serve" not in block)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "balance 711.00000000" in done.stderr


@pytest.mark.parametrize("readme", READMES)
def test_make_commands_shown_exist_and_ci_runs_them(readme: str) -> None:
    """The two commands for a newcomer are targets of the Makefile, and CI calls each."""
    shown = set(re.findall(r"^make (\w+)", "\n".join(blocks(readme, "sh")), re.MULTILINE))
    assert shown == {"demo", "test"}
    for command in shown:
        assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert f"make {command}\n" in (ROOT / ".ci" / "run").read_text()
