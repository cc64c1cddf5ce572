"""A standby takes over from a primary that is killed under full load: `tools/standby.py` itself, run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "standby.py"

pytestmark = pytest.mark.skipif(
    not os.environ.get("ALIKASSA_LONG"), reason="makes two servers: ten seconds on a quiet machine, a minute on others"
)


def take_over(*options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", "--seconds", "1", *options],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_synchronous_standby_has_all_that_was_acknowledged() -> None:
    """The primary dies, the standby is promoted; nothing acknowledged is missing, and the same program goes on."""
    code, report = take_over()
    assert (code, report["lost"], report["wrong"], report["rejoined"]) == (0, 0, 0, True)
    assert report["acknowledged_before"] > 0
    assert report["acknowledged_after"] > 0
    # Noticing is the operator's part; from the promotion on, both are back within a second or so.
    assert report["no_booking_ms"] < report["promoted_ms"] + 5000
    assert report["no_balance_ms"] < report["promoted_ms"] + 5000


def test_an_asynchronous_standby_loses_and_it_shows() -> None:
    """When nobody waits for a standby that lags, acknowledged commands are gone, and the script says so."""
    code, report = take_over("--asynchronous")
    assert code == 1
    assert report["lost"] > 0
    # What is left holds together all the same.
    assert report["wrong"] == 0
