"""Spans of time as people write them: 90s, 5m, 12h, 400d."""

from __future__ import annotations

import re
from datetime import timedelta

from alikassa.errors import InvalidInputError

__all__ = ["age_text", "parse_duration"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_500)
_TEXT = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """A whole number and s, m, h or d, more than nothing, a century at most. InvalidInputError for anything else."""
    match = _TEXT.fullmatch(text.strip())
    found = timedelta() if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta() < found <= _LONGEST:
        raise InvalidInputError(f"{text[:64]!r} is no span of time.", remedy="Write it as 90s, 5m, 12h or 400d.")
    return found


def age_text(age: timedelta) -> str:
    """As short as a column of a table wants it: 5 s, 3 min, 7 h, 2 d. Never rounded up."""
    seconds = max(int(age.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
