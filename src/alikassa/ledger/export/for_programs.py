"""CSV and JSON lines: everything that the journal says, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, TextIO

from alikassa.ledger.export.forms import Writer, entry_fields
from alikassa.money import from_units

if TYPE_CHECKING:
    from alikassa.ledger.export.journal import Owned
    from alikassa.ledger.model import JournalEntry, Posting

__all__ = ["COLUMNS", "CsvWriter", "JsonLinesWriter"]

_POSTING = ("line", "bucket", "amount", "lot")
#: Of the CSV.
COLUMNS = (
    *("account", "merchant", "currency", "sequence", "id", "kind", "reference", "reason", "metadata", "subject"),
    *("detail", "effective_at", "recorded_at", "hash", *_POSTING),
)


def _posting_fields(line: int, posting: Posting) -> dict[str, Any]:
    return {
        "line": line,
        "bucket": posting.bucket.value,
        "amount": from_units(posting.amount),
        "lot": None if posting.lot is None else str(posting.lot),
    }


class CsvWriter(Writer):
    """One row a posting; an entry that moves no money has one row, without a posting."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._csv = csv.DictWriter(out, COLUMNS, lineterminator="\n")

    def begin(self) -> None:
        self._csv.writeheader()

    def write(self, owned: Owned, entry: JournalEntry) -> None:
        fields = entry_fields(owned, entry)
        if not entry.postings:
            self._csv.writerow(fields)
        for line, posting in enumerate(entry.postings):
            self._csv.writerow(fields | _posting_fields(line, posting))


class JsonLinesWriter(Writer):
    """One object an entry, with its postings in a list. Amounts are text: no program's floats can round them."""

    def write(self, owned: Owned, entry: JournalEntry) -> None:
        fields = entry_fields(owned, entry)
        fields["metadata"] = json.loads(entry.metadata)
        fields["postings"] = [_posting_fields(line, posting) for line, posting in enumerate(entry.postings)]
        self.out.write(json.dumps(fields, ensure_ascii=False) + "\n")
