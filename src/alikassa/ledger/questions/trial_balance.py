"""Whether the books balance: every bucket and system account, by currency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alikassa.ledger.model import Bucket, SystemAccount

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["TrialBalance", "TrialBalanceRow", "trial_balance"]


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
    raise NotImplementedError
