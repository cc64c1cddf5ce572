"""Finding merchants and accounts by what a person knows of them. What is read for one answer is bounded."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvalidInputError
from alikassa.ledger import rows
from alikassa.ledger.ids import LANES, lane_of
from alikassa.ledger.model import Account, Merchant
from alikassa.ledger.questions.reading import of_accounts, require_limit
from alikassa.ledger.schema import accounts, merchants
from alikassa.ledger.types import Uuid

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alikassa.ledger.database import Database

__all__ = ["MOST_FOUND", "MOST_NAMES", "MerchantPage", "merchants_named", "merchants_of", "search_accounts"]

#: Merchants or accounts of one page at most.
MOST_FOUND = 1000
#: Names that are looked through for one page: there is no index on parts of names.
MOST_NAMES = 20_000

_FETCHED_TOGETHER = 2000
_BEGINNING = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
# The columns that `rows` names are those of t.
_ACCOUNTS = accounts.alias("t")


class MerchantPage(msgspec.Struct, frozen=True):
    """Merchants in the order of adding. With the `cursor` the search goes on; None when all were looked at."""

    merchants: list[Merchant]
    cursor: uuid.UUID | None


async def merchants_named(
    database: Database, part: str = "", *, after: uuid.UUID | None = None, limit: int = 50
) -> MerchantPage:
    """Merchants whose name has this part, in capitals or small letters of any alphabet.

    `after` is the cursor of the page before. A page may be short, even empty, and have a cursor all the same: after
    `MOST_NAMES` names. InvalidInputError for a limit outside 1 to `MOST_FOUND`.
    """
    require_limit(limit, 1, MOST_FOUND)
    wanted = part.casefold()
    # Compared here: SQLite knows small letters of ASCII only, PostgreSQL those of its locale.
    statement = sa.select(merchants).order_by(merchants.c.id).limit(MOST_NAMES)
    if after is not None:
        statement = statement.where(merchants.c.id > after)
    found: list[Merchant] = []
    seen, last = 0, after
    async with database.read() as connection, connection.stream(statement) as stream:
        async for rows_ in stream.partitions(_FETCHED_TOGETHER):
            for row in rows_:
                if wanted in row.name.casefold():
                    if len(found) == limit:
                        return MerchantPage(found, found[-1].id)
                    found.append(Merchant(row.id, row.name, row.created_at))
                last = row.id
            seen += len(rows_)
    return MerchantPage(found, last if seen == MOST_NAMES else None)


async def search_accounts(
    database: Database,
    *,
    beginning: str = "",
    of_merchants: Collection[uuid.UUID] | None = None,
    currency: str = "",
    after: uuid.UUID | None = None,
    limit: int = 50,
) -> list[Account]:
    """Accounts by their key, as booked: whose uuid has this beginning, of one of these merchants, in a currency.

    InvalidInputError for what no uuid begins with, and for a limit outside 1 to `MOST_FOUND`.
    """
    require_limit(limit, 1, MOST_FOUND)
    key = (_ACCOUNTS.c.lane, _ACCOUNTS.c.id)
    statement = sa.select(sa.text(rows.ACCOUNT)).select_from(_ACCOUNTS).order_by(*key).limit(limit)
    if beginning:
        first, last = _bounds(beginning)
        # The lane is in the last digits, which are not known unless all are: a look into each.
        of_lanes = _ACCOUNTS.c.lane == lane_of(first) if first == last else _ACCOUNTS.c.lane.in_(range(LANES))
        statement = statement.where(of_lanes, _ACCOUNTS.c.id.between(first, last))
    if of_merchants is not None:
        statement = statement.where(_ACCOUNTS.c.merchant_id.in_(of_merchants))
    if currency:
        statement = statement.where(_ACCOUNTS.c.currency == currency)
    if after is not None:
        statement = statement.where(sa.tuple_(*key) > sa.tuple_(sa.literal(lane_of(after)), sa.literal(after, Uuid)))
    async with database.read() as connection:
        return [rows.account(row) for row in await connection.execute(statement)]


def _bounds(beginning: str) -> tuple[uuid.UUID, uuid.UUID]:
    """The first and the last uuid that begin so."""
    digits = beginning.lower().replace("-", "")
    if _BEGINNING.fullmatch(digits) is None:
        raise InvalidInputError(
            f"No uuid begins with {beginning[:64]!r}.", remedy="Write its first hexadecimal digits, or all of it."
        )
    return uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))


async def merchants_of(database: Database, wanted: Sequence[uuid.UUID]) -> dict[uuid.UUID, Merchant]:
    """Whose these accounts are, up to `MOST_FOUND`; accounts that there are not are left out."""
    if len(wanted) > MOST_FOUND:
        raise InvalidInputError(f"These are {len(wanted)} accounts.", remedy=f"Ask for at most {MOST_FOUND}.")
    statement = sa.select(accounts.c.id.label("account"), merchants).join_from(
        accounts, merchants, accounts.c.merchant_id == merchants.c.id
    )
    found: dict[uuid.UUID, Merchant] = {}
    async with database.read() as connection:
        for here in of_accounts(connection, accounts.c.lane, accounts.c.id, wanted):
            for row in await connection.execute(statement.where(here)):
                found[row.account] = Merchant(row.id, row.name, row.created_at)
    return found
