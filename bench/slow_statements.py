"""What a server's log tells of slow statements: which, how often, how long, and in which minute."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["slow_statements"]

_WIDTH = 60


def slow_statements(lines: Iterable[str]) -> Iterator[str]:
    """A line for each minute and statement, with how many there were and the longest, in milliseconds."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(line)
            # Those of requests and those of the log of requests wait for each other.
            whose = "requests" if told.get("request_ids") else "nobody"
            text = f"{told['statement'][:_WIDTH]} ({whose})"
            found[told["timestamp"][11:16], text].append(told["seconds"] * 1000)
    for (minute, text), times in sorted(found.items()):
        yield f"{minute}  {len(times):4} x  longest {max(times):6.0f} ms  {text}"
