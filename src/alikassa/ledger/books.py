"""Booking: one command, one transaction, one answer. Nothing is acknowledged before it is committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alikassa import clock
from alikassa.errors import ConflictError, InvariantError, NotFoundError
from alikassa.ledger import rules, store
from alikassa.ledger.ids import uuid7

if TYPE_CHECKING:
    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account, Adjustment, JournalEntry

__all__ = ["Booked", "Books"]


@dataclass(frozen=True)
class Booked:
    """A committed entry, and the account as it stands now.

    `repeated`: the entry had been booked before, by the same command; others may have followed it.
    """

    entry: JournalEntry
    account: Account
    repeated: bool


class Books:
    """The journal of one database."""

    def __init__(self, database: Database, now: Clock = clock.now) -> None:
        self._database = database
        self._now = now

    async def adjust(self, command: Adjustment) -> Booked:
        """Book an adjustment.

        A reference is claimed for ever by success only: the same command again gives the entry it made, the same
        reference with other content is a ConflictError, and a refusal (see `rules`) leaves it free.
        """
        rules.check(command)
        async with self._database.write() as connection:
            account = await store.find_account(connection, command.account, lock=True)
            if account is None:
                raise NotFoundError(
                    f"There is no account {command.account}.", remedy="List them: alikassa account list"
                )
            earlier = await store.find_entry(connection, command.account, command.kind, command.reference)
            if earlier is not None:
                if earlier.content != command.content:
                    raise ConflictError(
                        f"The reference {command.reference!r} is taken by another {command.kind} of this account,"
                        f" number {earlier.sequence}.",
                        remedy="Nothing was booked. Choose a new reference for a new event.",
                    )
                return Booked(earlier, account, repeated=True)
            entry = rules.decide(command, account, self._now(), uuid7())
            buckets = rules.apply(account, entry)
            await store.insert_entry(connection, entry)
            await store.update_account(connection, entry, buckets)
            booked = await store.find_account(connection, command.account)
            if booked is None or booked.sequence != entry.sequence or booked.buckets != buckets:
                raise InvariantError(f"Account {command.account} does not stand where its last entry put it.")
        return Booked(entry, booked, repeated=False)
