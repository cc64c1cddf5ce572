"""The one way in which each kind of value is written on SQLite, whose columns take any.

Read leniently, a value that was changed may mean what it meant before. PostgreSQL's types see to this by themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa

__all__ = ["Forms"]

_AMOUNT = re.compile(r"(?!-0\.0{8}$)-?(?:0|[1-9][0-9]*)\.[0-9]{8}").fullmatch
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z").fullmatch
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def _written_as(fits: Callable[[str], Any]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and fits(value) is not None


def _is_text(value: Any) -> bool:
    """Bytes that are no UTF-8 are read as surrogates."""
    if type(value) is not str:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _is_integer(value: Any) -> bool:
    return type(value) is int


_FORMS: dict[str, Callable[[Any], bool]] = {
    "SmallInteger": _is_integer,
    "Integer": _is_integer,
    "BigInteger": _is_integer,
    "Boolean": lambda value: type(value) is int and value in (0, 1),
    "LargeBinary": lambda value: type(value) is bytes,
    "Text": _is_text,
    "Amount": _written_as(_AMOUNT),
    "Moment": _written_as(_MOMENT),
    "Uuid": _written_as(_UUID),
}


class Forms:
    """Those of some columns of a table."""

    def __init__(self, table: sa.Table, names: Sequence[str]) -> None:
        self._columns = [
            (name, _FORMS[type(table.c[name].type).__name__], bool(table.c[name].nullable)) for name in names
        ]

    def wrong(self, row: Sequence[Any]) -> str | None:
        """The first column that is not written as it should be, None when all are."""
        for value, (name, fits, may_be_null) in zip(row, self._columns, strict=True):
            if not (fits(value) or (value is None and may_be_null)):
                return name
        return None
