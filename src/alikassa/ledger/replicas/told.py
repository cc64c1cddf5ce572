"""What this worker has told of accounts: no answer is ever followed by an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alikassa.ledger.replicas.beats import NEVER

if TYPE_CHECKING:
    from alikassa.ledger.reader import Standing
    from alikassa.ledger.replicas.permissions import Permitted

__all__ = ["Told", "ToldAccounts"]

#: Accounts that are remembered one by one.
_MOST_REMEMBERED = 20_000


class Told(NamedTuple):
    """What was told of an account `at` a moment (of `time.monotonic`): its numbers after the entry `sequence`.

    `standing` is what was made of them and of `permitted`, when nothing was due.
    """

    at: float
    sequence: int | None = None
    permitted: Permitted | None = None
    standing: Standing | None = None

    def again(self, sequence: int, permitted: Permitted) -> Standing | None:
        """The same, if it still is."""
        return self.standing if self.sequence == sequence and self.permitted is permitted else None


class ToldAccounts:
    """The accounts told last. Of any other nothing is given that may be older than when it was told."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._others = Told(NEVER)

    def find(self, account: str) -> Told:
        return self._told.get(account, self._others)

    def may_tell(self, account: str, sequence: int, begun: float) -> bool:
        """Whether a snapshot with all that was committed before `begun`, where the account has so many entries, is no
        older than what was told of it."""
        told = self.find(account)
        return begun >= told.at or (told.sequence is not None and sequence >= told.sequence)

    def keep(self, account: str, told: Told) -> None:
        self._told.pop(account, None)
        if len(self._told) >= _MOST_REMEMBERED:
            first = next(iter(self._told))
            self._others = Told(self._told.pop(first).at)
        self._told[account] = told
