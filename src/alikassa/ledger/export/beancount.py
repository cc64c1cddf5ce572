"""A beancount file."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.ledger.export.plain_text import EXPLAINED, PlainTextWriter, name_of, shown
from alikassa.ledger.model import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alikassa.ledger.export.journal import Owned
    from alikassa.ledger.model import JournalEntry

__all__ = ["BeancountWriter"]


class BeancountWriter(PlainTextWriter):
    """Transactions by their effective day. What moves no money is a note; beancount puts all in order itself."""

    def begin(self) -> None:
        self.out.write("".join(f"; {line}\n" for line in EXPLAINED.splitlines()))
        self.out.write(f"option {_quoted('title')} {_quoted('The books of alikassa')}\n")

    def write_moving(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        self.out.write(f"\n{day} * {_quoted(entry.kind)} {_quoted(entry.reference)}\n")
        self._write_metadata(entry)
        for posting in entry.postings:
            name = name_of(owned.account, posting.bucket)
            self.out.write(f"  {name}  {shown(posting.amount)} {owned.account.currency}\n")
            if posting.lot is not None:
                self.out.write(f"    lot: {_quoted(str(posting.lot))}\n")

    def write_still(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        text = _quoted(f"{entry.kind} {entry.reference}")
        self.out.write(f"\n{day} note {name_of(owned.account, Bucket.BALANCE)} {text}\n")
        self._write_metadata(entry)

    def write_end(self, lines: list[tuple[str, str, int]], first: date, last: date, owned: Owned | None) -> None:
        self.out.write("\n")
        for name in dict.fromkeys(name for name, _, _ in lines):
            self.out.write(f"{first} open {name}\n")
            if owned is not None:
                self.out.write(f"  merchant: {_quoted(owned.merchant)}\n")
        # Before the day after the last; without a tolerance, or beancount would forgive some units.
        for name, currency, total in lines:
            self.out.write(f"{last + timedelta(days=1)} balance {name}  {shown(total)} ~ 0.00000000 {currency}\n")

    def _write_metadata(self, entry: JournalEntry) -> None:
        for name, value in _metadata(entry):
            self.out.write(f"  {name}: {value}\n")


def _metadata(entry: JournalEntry) -> Iterator[tuple[str, str]]:
    yield "id", _quoted(str(entry.id))
    yield "sequence", str(entry.sequence)
    yield "effective-at", _quoted(moment_text(entry.effective_at))
    yield "recorded-at", _quoted(moment_text(entry.recorded_at))
    if entry.reason:
        yield "reason", _quoted(entry.reason)
    if entry.subject is not None:
        yield "subject", str(entry.subject)
    if entry.detail:
        yield "detail", _quoted(entry.detail)
    if entry.metadata != "{}":
        yield "metadata", _quoted(entry.metadata)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
