"""The page of the log lists what the code says, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/logs-and-traces.md").read_text()
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
# What every line about a request may have.
OF_REQUESTS = frozenset({"exc_info"})


def said() -> Iterator[tuple[str, set[str]]]:
    """Every event that the server or the cabinet can log, with the fields it is given by name."""
    for folder in ("server", "cabinet"):
        for file in sorted((ROOT / "src/alikassa" / folder).rglob("*.py")):
            for call in ast.walk(ast.parse(file.read_text())):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                if call.func.attr not in LEVELS or "log" not in ast.unparse(call.func.value).lower():
                    continue
                assert isinstance(call.args[0], ast.Constant), f"{file}: an event has a fixed name"
                fields = {one.arg for one in call.keywords if one.arg is not None}
                yield str(call.args[0].value), fields - OF_REQUESTS


def documented() -> dict[str, set[str]]:
    table = PAGE.partition("## Events")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \|", table, re.MULTILINE)
    return {event: set(re.findall(r"`([a-z0-9_]+)`", fields)) for event, fields in rows}


def test_every_event_is_documented_with_its_fields() -> None:
    """Those that are in the page are those that are in the code."""
    told = documented()
    events = list(said())
    assert len(events) > 30
    assert {event for event, _ in events} == set(told)
    for event, fields in events:
        assert fields <= told[event], event
