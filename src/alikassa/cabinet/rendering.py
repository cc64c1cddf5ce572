"""Templates to pages. One environment a language; everything is escaped unless it is markup already."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from alikassa.cabinet import words
from alikassa.cabinet.assets import asset_url
from alikassa.cabinet.texts import translations
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["environment", "rendered"]

EXTENSIONS = ("jinja2.ext.i18n",)


@cache
def environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader("alikassa.cabinet"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=list(EXTENSIONS),
        auto_reload=False,
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {"asset": asset_url, "words": words, "exact": from_units}
    return made


def rendered(language: str, template: str, context: Mapping[str, Any]) -> str:
    return environment(language).get_template(template).render(context)
