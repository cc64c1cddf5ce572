"""What every form of export is given, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from alikassa.clock import moment_text

if TYPE_CHECKING:
    from alikassa.ledger.export.journal import Owned
    from alikassa.ledger.model import JournalEntry

__all__ = ["Writer", "entry_fields"]


class Writer:
    """Writes to `out`. An account begins, has its entries, ends; then the next one."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def begin(self) -> None:
        """Before all."""

    def begin_account(self, owned: Owned) -> None:
        """Before an account's entries."""

    def write(self, owned: Owned, entry: JournalEntry) -> None:
        """An entry of the account that began last."""
        raise NotImplementedError

    def end_account(self, owned: Owned) -> None:
        """After an account's entries."""

    def end(self) -> None:
        """After all."""


def entry_fields(owned: Owned, entry: JournalEntry) -> dict[str, Any]:
    """An entry without its postings: texts, and numbers that name entries."""
    return {
        "account": str(entry.account),
        "merchant": str(owned.account.merchant),
        "currency": owned.account.currency,
        "sequence": entry.sequence,
        "id": str(entry.id),
        "kind": entry.kind.value,
        "reference": entry.reference,
        "reason": entry.reason,
        "metadata": entry.metadata,
        "subject": entry.subject,
        "detail": entry.detail,
        "effective_at": moment_text(entry.effective_at),
        "recorded_at": moment_text(entry.recorded_at),
        "hash": entry.hash.hex(),
    }
