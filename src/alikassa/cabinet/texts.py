"""The cabinet's words. English stands in templates and code; `locale/ru.po` has the Russian for each of them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from alikassa.cabinet.users import LANGUAGES

__all__ = ["choose_language", "mark", "translations"]

_LOCALE = Path(__file__).parent / "locale"


def mark(text: str) -> str:
    """The text itself: marks it for the catalogue, where it is translated only when it is shown."""
    return text


@cache
def translations(language: str) -> NullTranslations:
    """Read once a process, from the file that translators edit."""
    if language == "en":
        return NullTranslations()
    compiled = io.BytesIO()
    with (_LOCALE / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def choose_language(accepted: str) -> str:
    """The first of ours that an Accept-Language header asks for, with its weights; English when there is none."""
    best, best_weight = "en", 0.0
    for part in accepted[:500].split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.strip().partition("-")[0].lower()
        try:
            weight = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best
