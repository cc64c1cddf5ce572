"""What a backup says of itself: which books, how many rows, and the SHA-256 of each table's lines."""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from alikassa.errors import DatabaseError
from alikassa.ledger.ids import LANES
from alikassa.ledger.schema import REVISION, metadata

__all__ = ["BackupError", "Manifest", "Summed", "TableSum", "read_manifest"]

_FORM = "alikassa backup 1"


class BackupError(DatabaseError):
    """A backup cannot be written, is not whole, or does not fit where it is to be restored."""


class TableSum(msgspec.Struct, frozen=True):
    """One table's lines (see `lines`): how many, and their SHA-256 in hexadecimal."""

    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`made_at` is when the backup began: what was acknowledged before is in it. `tables` by their names."""

    form: str = _FORM
    revision: str = REVISION
    lanes: int = LANES
    made_at: datetime
    tables: dict[str, TableSum]
    heads: TableSum | None = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


class Summed:
    """Counts and hashes lines that pass through it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._rows = 0

    def add(self, lines: bytes) -> None:
        self._digest.update(lines)
        self._rows += lines.count(b"\n")

    def sum(self) -> TableSum:
        return TableSum(self._rows, self._digest.hexdigest())


def read_manifest(content: bytes | str) -> Manifest:
    """BackupError when it is none, or of another version of the books than this program's."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(
            "The backup's manifest cannot be read: it is damaged.", remedy="Take another copy."
        ) from error
    if manifest.form != _FORM or manifest.lanes != LANES:
        raise BackupError("The backup has a form that this version does not know.")
    if manifest.revision != REVISION:
        raise BackupError(
            f"The backup is of revision {manifest.revision}, and this version restores {REVISION}.",
            remedy="Restore it with the version that made it, then run: alikassa database migrate --database URL",
        )
    if manifest.tables.keys() != {table.name for table in metadata.sorted_tables}:
        raise BackupError("The backup does not have the tables of its revision: it is damaged.")
    return manifest
