"""When all of the books were last read, and what was found: kept in the database, for people who look after them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa import clock
from alikassa.errors import DatabaseError
from alikassa.ledger.ids import uuid7
from alikassa.ledger.schema import verifications

if TYPE_CHECKING:
    from alikassa.ledger.database import Database
    from alikassa.ledger.verify.verification import Verified

__all__ = ["PastVerification", "last_verification", "note_verification"]


class PastVerification(msgspec.Struct, frozen=True):
    """A reading of all books, how much it read, and how many problems it found."""

    id: uuid.UUID
    started_at: datetime
    finished_at: datetime
    accounts: int
    entries: int
    wrong: int


async def note_verification(database: Database, started_at: datetime, verified: Verified) -> DatabaseError | None:
    """Keep what a reading of all books found, which ends now. What kept it from being kept, None when it was: books on
    a copy that cannot be written are read all the same."""
    values = {
        "id": uuid7(),
        "started_at": started_at,
        "finished_at": clock.now(),
        "accounts": verified.accounts,
        "entries": verified.entries,
        "wrong": verified.wrong,
    }
    try:
        async with database.write() as connection:
            await connection.execute(verifications.insert().values(values))
    except DatabaseError as error:
        return error
    return None


async def last_verification(database: Database) -> PastVerification | None:
    """The one that ended last, None when the books were never read."""
    latest = sa.select(verifications).order_by(verifications.c.id.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(latest)).mappings().first()
    return None if row is None else PastVerification(**row)
