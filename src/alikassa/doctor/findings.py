"""What the doctor finds: a level, a stable code, and the values that its words need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alikassa.doctor.levels import Language, Level
from alikassa.doctor.texts import TEXTS
from alikassa.doctor.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Language", "Level", "exit_code"]


@dataclass(frozen=True)
class Finding:
    """One thing found. `code` is AREA.WHAT, and stays the same in later versions.

    `values` fill its words; none of them is secret. `causes` are what may be behind it, likeliest first.
    """

    level: Level
    code: str
    values: dict[str, str] = field(default_factory=dict)
    causes: tuple[Finding, ...] = ()

    @property
    def area(self) -> str:
        return self.code.partition(".")[0]

    def words(self, language: Language) -> Words:
        """What was found, what it means, what to do."""
        text = TEXTS[self.code]
        words = text.ru if language is Language.RU else text.en
        return Words(*(part.format_map(self.values) for part in words))


#: The exit code of an error in an area. The first that occurs counts: what is broken below breaks what is above.
_EXIT_CODES = (("archive", 3), ("key", 3), ("settings", 3), ("network", 5), ("server", 6), ("refused", 4))


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when nothing worse than a warning was found; otherwise that of the most fundamental error."""
    areas = {finding.area for finding in findings if finding.level is Level.ERROR}
    return next((code for area, code in _EXIT_CODES if area in areas), 0)
