"""Booking one command and telling what came of it: the same for every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.cli.commands.records import booked_record
from alikassa.cli.commands.wording import remedy, sentence
from alikassa.cli.on_database import on_database
from alikassa.cli.output import message, print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.commands import Command
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account, Booked, JournalEntry, Lot, LotKey

__all__ = ["book"]


def book(command: Command, database: str, *, as_json: bool) -> None:
    """Book it on the database at that URL. People get a sentence, then the four numbers; programs all of it as JSON.

    A refusal is raised with what to do about it here, on the command line.
    """
    from alikassa.errors import InsufficientFundsError
    from alikassa.ledger.books import Books

    async def work(opened: Database) -> tuple[Booked, dict[LotKey, Lot]]:
        booked = await Books(opened).book(command)
        return booked, await _made(opened, booked.entry)

    try:
        booked, lots = on_database(database, work)
    except InsufficientFundsError as error:
        error.remedy = error.remedy or remedy(command, error)
        raise
    if as_json:
        print_json(booked_record(booked, lots))
        return
    message(sentence(command, booked, lots))
    if booked.entry.postings:
        _print_numbers(booked.account)


def _print_numbers(account: Account) -> None:
    from alikassa.money import from_units

    numbers = {bucket.value: from_units(amount) for bucket, amount in account.buckets.items()}
    print_records([{"currency": account.currency, **numbers}], as_json=False, empty="", right=list(numbers))


async def _made(database: Database, entry: JournalEntry) -> dict[LotKey, Lot]:
    """The held sums that the entry made, which know when they are released."""
    from alikassa.ledger import rows
    from alikassa.ledger.bulk import columns_of, find_rows
    from alikassa.ledger.ids import lane_of
    from alikassa.ledger.schema import lots

    if not any(posting.lot is not None and posting.lot.sequence == entry.sequence for posting in entry.postings):
        return {}
    keys = columns_of(lots, "lane", "account_id", "sequence")
    async with database.read() as connection:
        found = await find_rows(connection, keys, [(lane_of(entry.account), entry.account, entry.sequence)], rows.LOT)
    return {lot.key: lot for _, lot in map(rows.lot, found)}
