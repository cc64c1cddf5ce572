"""A journal for hledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.ledger.export.plain_text import EXPLAINED, PlainTextWriter, name_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from alikassa.ledger.export.journal import Owned
    from alikassa.ledger.model import JournalEntry

__all__ = ["HledgerWriter"]


class HledgerWriter(PlainTextWriter):
    """Transactions by their effective day, with the entry's number as their code. What moves no money is a comment."""

    def begin(self) -> None:
        self.out.write("".join(f"; {line}\n" for line in EXPLAINED.splitlines()))
        self.out.write("; In tags, a comma is written %2C, and a percent sign %25.\n\ndecimal-mark .\n")
        self._declared: set[str] = set()

    def begin_account(self, owned: Owned) -> None:
        super().begin_account(owned)
        currency = owned.account.currency
        if currency not in self._declared:
            self._declared.add(currency)
            self.out.write(f"commodity 1000.00000000 {_commodity(currency)}\n")

    def write_moving(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        self.out.write(f"\n{day} * ({entry.sequence}) {entry.kind}\n")
        for name, value in _tags(entry):
            self.out.write(f"    ; {name}:{value}\n")
        for posting in entry.postings:
            lot = "" if posting.lot is None else f"  ; lot:{posting.lot}"
            amount = f"{shown(posting.amount)} {_commodity(owned.account.currency)}"
            self.out.write(f"    {name_of(owned.account, posting.bucket)}  {amount}{lot}\n")

    def write_still(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        self.out.write(f"\n; {day} ({entry.sequence}) {entry.kind}\n")
        for name, value in _tags(entry):
            self.out.write(f";   {name}:{value}\n")

    def write_end(self, lines: list[tuple[str, str, int]], first: date, last: date, owned: Owned | None) -> None:
        self.out.write("\n")
        for name in dict.fromkeys(name for name, _, _ in lines):
            merchant = "" if owned is None else f"  ; merchant:{_tag(owned.merchant)}"
            self.out.write(f"account {name}{merchant}\n")
        self.out.write(f"\n{last} what they come to\n")
        for name, currency, total in lines:
            commodity = _commodity(currency)
            self.out.write(f"    {name}  0.00000000 {commodity} = {shown(total)} {commodity}\n")


def _tags(entry: JournalEntry) -> Iterator[tuple[str, str]]:
    yield "id", str(entry.id)
    yield "reference", _tag(entry.reference)
    yield "effective", moment_text(entry.effective_at)
    yield "recorded", moment_text(entry.recorded_at)
    if entry.reason:
        yield "reason", _tag(entry.reason)
    if entry.subject is not None:
        yield "subject", str(entry.subject)
    if entry.detail:
        yield "detail", _tag(entry.detail)
    if entry.metadata != "{}":
        yield "metadata", _tag(entry.metadata)


def _tag(text: str) -> str:
    """A tag's value ends at a comma."""
    return text.replace("%", "%25").replace(",", "%2C")


def _commodity(currency: str) -> str:
    """In quotes where it holds digits."""
    return currency if currency.isalpha() else f'"{currency}"'
