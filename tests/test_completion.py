"""The shell completes commands and options."""

from __future__ import annotations

import subprocess

import pytest

from conftest import ALIKASSA, nobodys_environment


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [("alikassa wat", 1, "watch"), ("alikassa balance --out", 2, "--output"), ("alikassa books sche", 2, "schedule")],
)
def test_what_is_begun_is_completed(words: str, place: int, expected: str) -> None:
    """Asked as bash asks, the command names what a word may become."""
    asked = {"_ALIKASSA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [ALIKASSA], env=nobodys_environment() | asked, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.split() == [expected]


def test_bash_takes_the_script() -> None:
    """What `--show-completion` prints to bash is a script that bash can read."""
    # The shell that is meant is the one it was started from.
    command = ["bash", "-c", '"$0" --show-completion; exit $?', str(ALIKASSA)]
    done = subprocess.run(command, env=nobodys_environment(), capture_output=True, timeout=30, check=True)
    assert b"complete " in done.stdout
    subprocess.run(["bash", "-n"], input=done.stdout, timeout=30, check=True)
