"""An account's entries of a period, between what it stood at before and after."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Bucket, JournalEntry, Kind

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["MOST_LINES", "Statement", "StatementLine", "statement"]

#: Lines of one page at most.
MOST_LINES = 1000


class StatementLine(msgspec.Struct, frozen=True):
    """One entry, by how much it moved each bucket (those it did not move are left out), and the four after it."""

    entry: JournalEntry
    changes: dict[Bucket, int]
    balances: dict[Bucket, int]


class Statement(msgspec.Struct, frozen=True):
    """A page of an account's entries in [start, end) of recording; None leaves that end open.

    `opening`, `closing` and `count`, the number of entries, are the whole period's, whatever is filtered and however
    it is paged: opening and all changes make closing. They are as booked: what is due and not yet released is still
    in its bucket. `cursor` goes on after the last line; None when nothing follows.
    """

    account: uuid.UUID
    currency: str
    start: datetime | None
    end: datetime | None
    opening: dict[Bucket, int]
    lines: list[StatementLine]
    closing: dict[Bucket, int]
    count: int
    cursor: str | None


async def statement(
    database: Database,
    account: uuid.UUID,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    kinds: Collection[Kind] = (),
    reference: str | None = None,
    after: str | None = None,
    limit: int = 100,
    newest: bool = False,
) -> Statement:
    """Lines in the order of booking; with `newest`, in the opposite order, from the last one backwards.

    `kinds` (none: all) and `reference` choose lines; the numbers beside them stay right. `after` is the cursor of the
    page before, of the same question. NotFoundError for an unknown account, InvalidInputError for a cursor that is
    not this question's, a limit outside 1 to `MOST_LINES`, or a time without a zone.
    """
    raise NotImplementedError
