"""What has been read of the accounts, for as long as nothing is committed.

Every read asks its database first whether it still is what it was: SQLite by its data version, PostgreSQL by its
snapshot. Only if it is, what was read then is what would be read now, to the last certificate.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from alikassa.ledger.reader import Standing

__all__ = ["KeptRow", "KeptRows", "put"]

#: Accounts that are kept at most.
MOST_KEPT = 20_000

#: A moment as the engine's driver gives it: text that sorts, or a time.
Moment = TypeVar("Moment", bound=Any)


class KeptRow(msgspec.Struct, Generic[Moment]):
    """An account as read: `standing` is what it is from `since` on, until the next lot falls due at `until`.

    Without `until` it has no lots, and stays what it is whatever the time.
    """

    standing: Standing
    sequence: int
    since: Moment
    until: Moment | None


def put(rows: dict[str, KeptRow[Moment] | None], account: str, row: KeptRow[Moment]) -> None:
    """Put a row beside what is read; an account comes once for each of its certificates."""
    before = rows[account]
    if before is not None:
        row.standing.certificates = before.standing.certificates + row.standing.certificates
    rows[account] = row


class KeptRows(Generic[Moment]):
    """The accounts read since the last commit; None for one that the books do not have."""

    def __init__(self) -> None:
        self.version: str | int = ""
        self._rows: dict[str, KeptRow[Moment] | None] = {}

    def at(self, version: str | int) -> dict[str, KeptRow[Moment] | None]:
        """What is kept and still true in this version of the database. The caller adds what it reads in it."""
        if version != self.version:
            self.version = version
            self._rows.clear()
        return self._rows

    def part(self, accounts: list[str]) -> tuple[list[str], list[str]]:
        """Which of these are not kept, and which are."""
        if len(self._rows) >= MOST_KEPT:
            self.clear()
        unknown = [account for account in accounts if account not in self._rows]
        return unknown, [account for account in accounts if account in self._rows] if unknown else accounts

    def clear(self) -> None:
        """Another connection is another database, as far as anybody knows."""
        self.version = ""
        self._rows.clear()
