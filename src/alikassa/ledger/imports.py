"""Opening balances of a running business, from a file into the books: all of them, or none."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.ledger.books import Books
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.import_files import ImportProblemsError, read_openings
from alikassa.ledger.model import BUCKETS, AccountState, Bucket, Kind
from alikassa.ledger.rules import check_text
from alikassa.ledger.rules.checks import LONGEST_REFERENCE
from alikassa.ledger.schema import accounts, journal_entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from alikassa.clock import Clock
    from alikassa.ledger.commands import Opening
    from alikassa.ledger.database import Database
    from alikassa.ledger.import_files import Problems, Record

__all__ = ["ImportProblemsError", "Imported", "ImportedTotal", "import_openings"]

_ACCOUNT = columns_of(accounts, "lane", "id")
_OWNED = columns_of(journal_entries, "lane", "account_id")
_OPENING = columns_of(journal_entries, "lane", "account_id", "kind", "reference")


class ImportedTotal(msgspec.Struct, frozen=True):
    """What the accounts of one currency bring together, in units."""

    currency: str
    accounts: int
    buckets: dict[Bucket, int]
    lots: int
    payouts: int


class Imported(msgspec.Struct, frozen=True):
    """What a file brings; `booked` accounts of it by this call, `repeated` ones before, neither in a dry run."""

    totals: list[ImportedTotal]
    booked: int
    repeated: int


async def import_openings(
    database: Database,
    file: Path,
    *,
    reference: str,
    effective_at: datetime | None = None,
    dry_run: bool = False,
    now: Clock | None = None,
) -> Imported:
    """Book the file's openings under `reference`, in one transaction. Repeated, it changes nothing.

    ImportProblemsError, with nothing booked, says everything that is wrong with the file: an account that is not
    there, that is closed or has moved money already, and all that `read_openings` finds.
    """
    check_text(reference, "reference", LONGEST_REFERENCE)
    openings, problems = read_openings(file, reference, effective_at)
    currencies = await _look_up(database, openings, problems)
    if not openings:
        problems.add("the file", "It names no account.")
    problems.stop()
    booked = [] if dry_run else await Books(database, now).book_together([opening for _, opening in openings])
    repeated = sum(one.repeated for one in booked)
    return Imported(_totals([opening for _, opening in openings], currencies), len(booked) - repeated, repeated)


async def _look_up(
    database: Database, openings: Sequence[tuple[Record, Opening]], problems: Problems
) -> dict[uuid.UUID, str]:
    """The accounts' currencies; what would be refused is a problem of the file's."""
    keys = [(lane_of(record.account), record.account) for record, _ in openings]
    kind = Kind.OPENING.value
    named = [(*key, kind, opening.reference) for key, (_, opening) in zip(keys, openings, strict=True)]
    async with database.read() as connection:
        # On PostgreSQL some statement of the transaction has to come before the driver is used directly.
        await connection.execute(sa.select(sa.literal(1)))
        found = {_id(row): row for row in await find_rows(connection, _ACCOUNT, keys, "t.id, t.currency, t.state")}
        content = {_id(row): row[1] for row in await find_rows(connection, _OPENING, named, "t.account_id, t.content")}
        condition = "t.lines > 0"
        moved = {
            _id(row) for row in await find_rows(connection, _OWNED, keys, "DISTINCT t.account_id", condition=condition)
        }
    for record, opening in openings:
        account = record.account
        if account not in found:
            problems.add(record.where, f"There is no account {account}. Open it first.")
        elif account in content:
            if content[account] != opening.content:
                problems.add(record.where, f"{account} was opened under this reference with other numbers.")
        elif account in moved:
            problems.add(record.where, f"{account} has entries already: opening balances come first.")
        elif found[account][2] == AccountState.CLOSED:
            problems.add(record.where, f"{account} is closed.")
    return {account: row[1] for account, row in found.items()}


def _id(row: Sequence[Any]) -> uuid.UUID:
    """The first column: as text on SQLite, as a kind of the driver's own on PostgreSQL."""
    return uuid.UUID(str(row[0]))


def _totals(openings: Sequence[Opening], currencies: dict[uuid.UUID, str]) -> list[ImportedTotal]:
    totals = []
    for currency in sorted(set(currencies.values())):
        here = [one for one in openings if currencies[one.account] == currency]
        totals.append(
            ImportedTotal(
                currency=currency,
                accounts=len(here),
                buckets={bucket: sum(getattr(one, bucket.value) for one in here) for bucket in BUCKETS},
                lots=sum(len(one.lots) for one in here),
                payouts=sum(len(one.payouts) for one in here),
            )
        )
    return totals
