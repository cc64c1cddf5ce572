"""Every word of the cabinet is there in Russian, with the same places to fill in."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import catalogue  # noqa: E402 - a tool, not a package

PLACE = re.compile(r"%\((\w+)\)s|%%")


def forms_of(text: object) -> tuple[str, ...]:
    """A text, or its plural forms."""
    return (str(text),) if isinstance(text, str) else tuple(text)  # type: ignore[arg-type]


def test_every_text_has_its_russian() -> None:
    """No text of a template or of the code lacks a translation, in all three plural forms, and none is left over."""
    with catalogue.CATALOGUE.open("rb") as file:
        known = {message.id: forms_of(message.string) for message in read_po(file, locale="ru") if message.id}
    wanted = {message.id for message in catalogue.extracted() if message.id}
    assert wanted - known.keys() == set(), "run: make catalogue"
    assert known.keys() - wanted == set(), "run: make catalogue"
    assert [id_ for id_, forms in known.items() if not all(forms)] == []
    assert [id_ for id_, forms in known.items() if len(forms) != (1 if isinstance(id_, str) else 3)] == []


def test_the_russian_fills_in_what_the_english_does() -> None:
    """A translation names the same values: a missing one would be lost, another would be an error."""
    with catalogue.CATALOGUE.open("rb") as file:
        for message in read_po(file, locale="ru"):
            if message.id:
                english = forms_of(message.id)[-1]
                for russian in forms_of(message.string):
                    assert set(PLACE.findall(english)) == set(PLACE.findall(russian)), english


def test_no_part_waits_to_be_merged() -> None:
    """What translators bring is in the catalogue."""
    assert list(catalogue.CATALOGUE.parent.glob("*.part.po")) == []
