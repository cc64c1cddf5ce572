"""Whether the books balance: every bucket and system account, by currency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvariantError
from alikassa.ledger.model import Bucket, SystemAccount
from alikassa.ledger.questions.sums import Sum, summed
from alikassa.ledger.schema import accounts, postings
from alikassa.money import from_units

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["TrialBalance", "TrialBalanceRow", "trial_balance"]

_PLACES: tuple[Bucket | SystemAccount, ...] = (*Bucket, *SystemAccount)


class TrialBalanceRow(msgspec.Struct, frozen=True):
    """What all postings of a currency in one place sum to, over all accounts. May exceed an account's bound."""

    currency: str
    place: Bucket | SystemAccount
    total: int


class TrialBalance(msgspec.Struct, frozen=True):
    """For each currency, in its order, a row for each bucket and each system account. They sum to zero.

    From the postings: what is due and not yet released is still in its bucket.
    """

    rows: list[TrialBalanceRow]
    currencies: list[str]


async def trial_balance(database: Database) -> TrialBalance:
    """Reads every posting. InvariantError when a currency does not sum to zero."""
    same = sa.and_(accounts.c.lane == postings.c.lane, accounts.c.id == postings.c.account_id)
    async with database.read() as connection:
        currencies = list(await connection.scalars(sa.select(accounts.c.currency).distinct()))
        by = (accounts.c.currency, postings.c.bucket)
        sums = await summed(connection, by, postings.c.amount, postings.join(accounts, same))
    rows = [
        TrialBalanceRow(currency, place, sums.get((currency, place.value), Sum()).total)
        for currency in sorted(currencies)
        for place in _PLACES
    ]
    for currency in currencies:
        left = sum(row.total for row in rows if row.currency == currency)
        if left:
            raise InvariantError(
                f"All postings in {currency} sum to {from_units(left)}, not to zero.",
                remedy="The database was changed by hand. See which entry it is: alikassa books verify",
            )
    return TrialBalance(rows, sorted(currencies))
