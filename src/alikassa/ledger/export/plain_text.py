"""What hledger and beancount have in common: the chart of accounts, the signs, and the totals at the end.

The view is the operator's, not the merchants'. What is owed to a merchant is a liability, and so negative; money on its
way to us is an asset. Every amount has the opposite sign of the journal's, where a merchant's money is positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from alikassa.ledger.export.forms import Writer
from alikassa.ledger.model import BUCKETS, Bucket, SystemAccount
from alikassa.money import from_units

if TYPE_CHECKING:
    from datetime import date

    from alikassa.ledger.export.journal import Owned
    from alikassa.ledger.model import Account, JournalEntry

__all__ = ["EXPLAINED", "PlainTextWriter", "name_of", "shown"]

EXPLAINED = """\
The books of alikassa, as the operator sees them: what is owed to merchants is a liability, and negative; money
on its way from customers is an asset. Liabilities:Merchants has one account for each part of a merchant's
account, by their ids. What falls due is here once it was released.
"""

_SYSTEM = {
    SystemAccount.CLEARING: "Assets:Clearing",
    SystemAccount.PAYOUTS: "Assets:Payouts",
    SystemAccount.FEES: "Income:Fees",
    SystemAccount.ADJUSTMENTS: "Equity:Adjustments",
    SystemAccount.OPENING: "Equity:Opening-Balances",
}
_PARTS = {
    Bucket.BALANCE: "Balance",
    Bucket.HOLD: "Hold",
    Bucket.ROLLING_RESERVE: "Rolling-Reserve",
    Bucket.PENDING_PAYOUTS: "Pending-Payouts",
}


def name_of(account: Account, place: Bucket | SystemAccount) -> str:
    """In the chart of accounts. Beancount's names begin with capitals or digits, so ids are in capitals."""
    if isinstance(place, SystemAccount):
        return _SYSTEM[place]
    return f"Liabilities:Merchants:{str(account.merchant).upper()}:{str(account.id).upper()}:{_PARTS[place]}"


class PlainTextWriter(Writer):
    """Keeps totals, to be asserted where an account ends, and those of the system accounts at the end of all."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._totals: dict[Bucket, int] = {}
        self._system: dict[tuple[str, str], int] = {}
        # The first and last day of the account, and of all.
        self._days: tuple[date, date] | None = None
        self._all_days: tuple[date, date] | None = None

    def begin_account(self, owned: Owned) -> None:
        self._totals = dict.fromkeys(BUCKETS, 0)
        self._days = None

    def write(self, owned: Owned, entry: JournalEntry) -> None:
        day = entry.effective_at.date()
        self._days = _spanned(self._days, day)
        self._all_days = _spanned(self._all_days, day)
        for posting in entry.postings:
            if isinstance(posting.bucket, Bucket):
                self._totals[posting.bucket] += posting.amount
            else:
                key = _SYSTEM[posting.bucket], owned.account.currency
                self._system[key] = self._system.get(key, 0) + posting.amount
        if entry.postings:
            self.write_moving(owned, entry, day)
        else:
            self.write_still(owned, entry, day)

    def end_account(self, owned: Owned) -> None:
        if self._days is not None:
            lines = [
                (name_of(owned.account, bucket), owned.account.currency, self._totals[bucket]) for bucket in BUCKETS
            ]
            self.write_end(lines, *self._days, owned)

    def end(self) -> None:
        if self._all_days is not None:
            lines = [(name, currency, total) for (name, currency), total in sorted(self._system.items())]
            self.write_end(lines, *self._all_days, None)

    def write_moving(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        """An entry with postings."""
        raise NotImplementedError

    def write_still(self, owned: Owned, entry: JournalEntry, day: date) -> None:
        """An entry that moves no money."""
        raise NotImplementedError

    def write_end(self, lines: list[tuple[str, str, int]], first: date, last: date, owned: Owned | None) -> None:
        """Names, currencies and totals in units of a merchant's account (`owned`), or of the system accounts."""
        raise NotImplementedError


def _spanned(days: tuple[date, date] | None, day: date) -> tuple[date, date]:
    return (day, day) if days is None else (min(days[0], day), max(days[1], day))


def shown(units: int) -> str:
    """An amount with the operator's sign."""
    return from_units(-units)
