"""How a finding is told: in two languages, in three parts."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Text", "Words"]


class Words(NamedTuple):
    """A finding told. `meaning` and `remedy` are "" where there is nothing to say or do."""

    found: str
    meaning: str = ""
    remedy: str = ""


class Text(NamedTuple):
    en: Words
    ru: Words
