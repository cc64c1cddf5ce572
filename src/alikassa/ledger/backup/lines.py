"""A table's rows as lines of text, the same on both engines: PostgreSQL's COPY form, with every value in one form.

Amounts have eight decimals, times are UTC with microseconds, bytes are hexadecimal, and what is not there is \\N.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alikassa.ledger.schema import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import sqlalchemy as sa

__all__ = ["MANIFEST", "query", "sqlite_lines", "sqlite_rows"]

#: The setting in which a copy of a SQLite database keeps its manifest. No part of what it sums up.
MANIFEST = "backup"

_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_TABLE = str.maketrans(_ESCAPES)
_PLAIN = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_ON_POSTGRESQL = {
    "Moment": """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "LargeBinary": r"'\x' || encode({0}, 'hex')",
}


def query(table: sa.Table, *, postgresql: bool) -> str:
    """All rows in the order of their key, with their values as `lines` wants them."""
    forms = _ON_POSTGRESQL if postgresql else {}
    columns = ", ".join(forms.get(type(one.type).__name__, "{0}").format(one.name) for one in table.columns)
    key = ", ".join(one.name for one in table.primary_key.columns)
    where = f" WHERE name <> '{MANIFEST}'" if table is settings else ""
    return f"SELECT {columns} FROM {table.name}{where} ORDER BY {key}"  # noqa: S608 - names from the schema


def sqlite_lines(table: sa.Table, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Rows as SQLite's driver gives them, as lines."""
    texts = [_TO_LINE.get(type(one.type).__name__, _text) for one in table.columns]
    for row in rows:
        line = [r"\N" if value is None else text(value) for text, value in zip(texts, row, strict=True)]
        yield ("\t".join(line) + "\n").encode()


def sqlite_rows(table: sa.Table, lines: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """Lines as rows for SQLite's driver. ValueError when they are none of the table's."""
    values = [_FROM_LINE.get(type(one.type).__name__, _plain) for one in table.columns]
    for line in lines:
        fields = line.decode().removesuffix("\n").split("\t")
        yield tuple(None if one == r"\N" else value(one) for value, one in zip(values, fields, strict=True))


def _text(value: Any) -> str:
    return str(value).translate(_TABLE)


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda found: _PLAIN[found[1]], field) if "\\" in field else field


_TO_LINE: dict[str, Callable[[Any], str]] = {
    "Boolean": lambda value: "t" if value else "f",
    "LargeBinary": lambda value: rf"\\x{value.hex()}",
}
_FROM_LINE: dict[str, Callable[[str], Any]] = {
    "Boolean": {"t": 1, "f": 0}.__getitem__,
    "LargeBinary": lambda field: bytes.fromhex(_plain(field).removeprefix("\\x")),
    "SmallInteger": int,
    "Integer": int,
    "BigInteger": int,
}
