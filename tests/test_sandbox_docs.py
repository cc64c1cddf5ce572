"""What docs/sandbox.md shows works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alikassa import testing
from alikassa.testing.faults import Fault
from conftest import ALIKASSA, nobodys_environment
from test_examples import require

TEXT = (Path(__file__).parent.parent / "docs" / "sandbox.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PROGRAMS = [text for language, text in BLOCKS if language == "python" and "def test_" not in text]
TESTS = [text for language, text in BLOCKS if language == "python" and "def test_" in text]
SCRIPTS = [text for language, text in BLOCKS if language == "sh" and "pip install" not in text]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run(program: str, tmp_path: Path) -> None:
    """Each Python block runs to its end in a folder of its own, silently, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=nobodys_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_run(script: str, tmp_path: Path) -> None:
    """Each shell block succeeds, step by step, in a folder of its own, and leaves no sandbox behind."""
    require("curl", "curl")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script + "wait %1\n"],
        cwd=tmp_path,
        env=nobodys_environment() | {"PATH": f"{ALIKASSA.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"errors"' not in done.stdout
    assert ("93.84000000" in done.stdout) or ('"balance":"100.00000000"' in done.stdout)


def test_the_tests_pass(tmp_path: Path) -> None:
    """The block for pytest is a test that passes."""
    assert len(TESTS) == 1
    (tmp_path / "test_shop.py").write_text(TESTS[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "alikassa.testing.pytest_plugin", "test_shop.py"],
        cwd=tmp_path,
        env=nobodys_environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_every_fault_is_listed() -> None:
    """The table names every fault with its kind in JSON."""
    for fault in Fault.__args__:
        assert f"`{fault.__name__}(" in TEXT
        assert f"| `{fault.__struct_config__.tag}` |" in TEXT
        assert fault.__name__ in testing.__all__


def test_every_method_of_an_account_is_listed() -> None:
    """What an account can do is in its table."""
    names = [name for name in vars(testing.SandboxAccount) if not name.startswith("_")]
    assert [name for name in names if f"`.{name}" not in TEXT] == []
