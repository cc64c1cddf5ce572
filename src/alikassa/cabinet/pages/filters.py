"""What a page's address asks for: choices of a closed set, uuids, and the same question's next page."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

if TYPE_CHECKING:
    from alikassa.cabinet.visits import Visit

__all__ = ["chosen", "query_with", "uuid_filter"]

Choice = TypeVar("Choice", bound=StrEnum)

_LONGEST = 1100  # of one value; a cursor is the longest


def chosen(text: str, choices: type[Choice]) -> Choice | None:
    """The choice of that name; None for anything else, which is all of them."""
    return next((one for one in choices if one.value == text), None)


def uuid_filter(visit: Visit, name: str) -> tuple[uuid.UUID | None, str]:
    """The uuid that the address gives, or None; and what was given in its place, "" when that is all right."""
    text = visit.request.query_params.get(name, "").strip()[:100]
    if not text:
        return None, ""
    try:
        return uuid.UUID(text), ""
    except ValueError:
        return None, text


def query_with(visit: Visit, **changed: str | None) -> str:
    """This page's query with other values; "" when one of these is None: there is no such page."""
    if None in changed.values():
        return ""
    kept = {
        name: value
        for name, value in visit.request.query_params.items()
        if name not in changed and name != "done" and value and len(value) <= _LONGEST
    }
    return urlencode(kept | {name: value for name, value in changed.items() if value})
