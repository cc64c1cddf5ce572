"""What is due of an account and not yet released, as a balance request is told it.

An account's lots change only with an entry. So what was due of it holds for as long as its sequence stays, until the
next lot falls due: however many lots wait to be released, they are summed up once and not at every request.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from alikassa.money import from_units, to_units

__all__ = ["Amounts", "Due", "DueAmounts", "ExactSum"]

#: Accounts that are remembered at most.
MOST_REMEMBERED = 20_000

#: A moment as the engine's driver gives it: text that sorts, or a time.
Moment = TypeVar("Moment", bound=Any)


class Amounts(NamedTuple):
    """The four numbers of one moment, text with eight decimals: `balance` has what was due of hold and reserve."""

    balance: str
    hold: str
    rolling_reserve: str
    pending_payouts: str

    @classmethod
    def of(
        cls, balance: str, hold: str, rolling_reserve: str, pending_payouts: str, due_hold: str, due_reserve: str
    ) -> Amounts:
        held, reserved = to_units(due_hold), to_units(due_reserve)
        return cls(
            from_units(to_units(balance) + held + reserved),
            from_units(to_units(hold) - held),
            from_units(to_units(rolling_reserve) - reserved),
            pending_payouts,
        )


class Due(NamedTuple, Generic[Moment]):
    """An account's amounts with what is due, and from when until when they are that."""

    amounts: Amounts
    sequence: int
    since: Moment
    until: Moment


class DueAmounts(Generic[Moment]):
    """Remembers the amounts of accounts of which something is due."""

    def __init__(self) -> None:
        self._known: dict[str, Due[Moment]] = {}

    def find(self, account: str, sequence: int, now: Moment) -> Due[Moment] | None:
        known = self._known.get(account)
        return known if known is not None and known.sequence == sequence and known.since <= now < known.until else None

    def keep(self, account: str, due: Due[Moment]) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            # The one that was summed up first: an account that is asked for often is soon here again.
            del self._known[next(iter(self._known))]
        self._known.pop(account, None)
        self._known[account] = due


class ExactSum:
    """SUM for SQLite, where amounts are text: its own would go through floats."""

    def __init__(self) -> None:
        self._total = 0

    def step(self, value: str | None) -> None:
        if value is not None:
            self._total += to_units(value)

    def finalize(self) -> str:
        return from_units(self._total)
