"""The yardsticks that are made from our own source keep up with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"


def test_the_empty_command_tree_prints_the_same_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree without its commands' insides is still our tree: what `--help` is measured against."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from help_rows import measure_help

    assert len(measure_help(tmp_path, runs=1).rows) == 2
