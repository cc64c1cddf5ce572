"""Somebody who changes the books and then makes hashes and totals fit again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from alikassa.clock import moment_text
from alikassa.ledger import rows
from alikassa.ledger.bulk import units
from alikassa.ledger.chain import entry_hash, genesis, lot_terms, payout_terms, policy_terms
from alikassa.ledger.model import Bucket, Kind
from alikassa.ledger.schema import accounts, journal_entries, lots, payouts, policies, postings
from alikassa.money import from_units
from books_intruder import Row, Told

__all__ = ["LATE", "Forger"]

#: When entries are added that never were.
LATE = datetime(2027, 1, 1, tzinfo=UTC)


class Forger:
    """Changes the first account's books, and then makes hashes and totals fit again."""

    def __init__(self, told: Told) -> None:
        self.told, self.intruder = told, told.intruder

    # Values as they are stored

    def amount(self, value: int) -> Any:
        return from_units(value) if self.told.on_sqlite else Decimal(from_units(value))

    def moment(self, moment: datetime) -> Any:
        return moment_text(moment) if self.told.on_sqlite else moment

    def flag(self, value: bool) -> Any:
        return int(value) if self.told.on_sqlite else value

    # Finding and changing

    def row(self, table: sa.Table, **values: Any) -> Row:
        """The first of the account's rows that has these values."""
        return next(
            row
            for row in self.intruder.rows(table)
            if all(row[name] == (value.value if hasattr(value, "value") else value) for name, value in values.items())
        )

    def sequence(self, kind: Kind, reference: str | None = None) -> int:
        named = {} if reference is None else {"reference": reference}
        return int(self.row(journal_entries, kind=kind, **named)["sequence"])

    def change(self, table: sa.Table, row: Row, **changes: Any) -> None:
        self.intruder.put(table, row, changes)

    def add(self, table: sa.Table, row: Row, **changes: Any) -> None:
        self.intruder.insert(table, [row | changes])

    def add_to(self, sequence: int, line: int, more: int) -> None:
        row = self.row(postings, sequence=sequence, line=line)
        self.change(postings, row, amount=self.amount(units(row["amount"]) + more))

    # Making it fit

    def fit(self) -> None:
        """The account's numbers, its hashes and its end, from the journal as it is now."""
        account = rows.account(self._values(rows.ACCOUNT, self.row(accounts)))
        made: dict[int, list[str]] = {}
        for row in self.intruder.rows(lots):
            made.setdefault(row["sequence"], []).extend(lot_terms(rows.lot(self._values(rows.LOT, row))[1]))
        for row in sorted(self.intruder.rows(payouts), key=lambda one: (one["sequence"], one["line"])):
            made.setdefault(row["sequence"], []).extend(payout_terms(rows.payout(self._values(rows.PAYOUT, row))[1]))
        for row in self.intruder.rows(policies):
            _, version, policy = rows.policy(self._values(rows.POLICY, row))
            made.setdefault(row["sequence"], []).extend(policy_terms(version, policy))
        lines: dict[int, list[Any]] = {}
        buckets = dict.fromkeys(Bucket, 0)
        for row in self.intruder.rows(postings):
            lines.setdefault(row["sequence"], []).append(self._values(rows.POSTING, row))
            if row["bucket"] in buckets:
                buckets[Bucket(row["bucket"])] += units(row["amount"])
        head = genesis(account.id, account.merchant, account.currency)
        last: Row = {}
        for last in self.intruder.rows(journal_entries):
            entry = rows.entry(self._values(rows.ENTRY, last), lines.get(last["sequence"], ()))
            head = entry_hash(head, entry, made.get(entry.sequence, ()))
            self.change(journal_entries, last, hash=head)
        end = {"head": head, "sequence": last["sequence"], "recorded_at": last["recorded_at"]}
        totals = {bucket.value: self.amount(total) for bucket, total in buckets.items()}
        self.change(accounts, self.row(accounts), **end, **totals)

    def _values(self, columns: str, row: Row) -> list[Any]:
        return [row[name.removeprefix("t.")] for name in columns.split(", ")]

    # Entries

    def remove(self, sequence: int) -> None:
        """An entry and all that it made."""
        for table in (journal_entries, postings, lots, payouts, policies):
            for row in self.intruder.rows(table):
                if row["sequence"] == sequence:
                    self.intruder.delete(table, row)

    def append(self, kind: Kind, *lines: tuple[str, int], **changes: Any) -> int:
        """One more entry at the end, with postings in buckets without lots."""
        last = self.intruder.rows(journal_entries)[-1]
        sequence = int(last["sequence"]) + 1
        now = self.moment(LATE)
        fresh = {"id": self.intruder.id(uuid.uuid4()), "kind": kind.value, "reference": "forged", "subject": None}
        entry = {"sequence": sequence, "lines": len(lines), "effective_at": now, "recorded_at": now, "detail": ""}
        self.add(journal_entries, last, **(fresh | entry | changes))
        some = self.intruder.rows(postings)[0] | {"sequence": sequence, "lot_sequence": None, "lot_line": None}
        for line, (bucket, amount) in enumerate(lines):
            self.add(postings, some, line=line, bucket=bucket, amount=self.amount(amount))
        return sequence
