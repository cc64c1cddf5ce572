"""Accounts for tests of the commands that book, under the policy that their expectations are worked out from.

Fee 2.9 % and 10, hold 20 % for 2 days, reserve 5 % for 30 days. So a payment of 1000 is 39 fee, 50 reserve, 200 hold
and 711 balance. The policy is entry 1, the first payment entry 2: its postings are clearing, fee, reserve (2.2), hold
(2.3) and balance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from alikassa.ledger.books import Books
from alikassa.ledger.commands import SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from command_line import Done, call, complaint, printed

__all__ = ["NUMBERS", "Ledger", "open_ledger"]

NUMBERS = ("balance", "hold", "rolling_reserve", "pending_payouts")
WHOLE = 10**8


@dataclass(frozen=True)
class Ledger:
    """One account, and the command line on it: the account comes after the command's words."""

    database: str
    account: str

    def words(self, command: str, *options: str) -> tuple[str, ...]:
        return (*command.split(), self.account, *options, "--database", self.database)

    def call(self, command: str, *options: str) -> Done:
        done = call(*self.words(command, *options))
        assert done.returncode == 0, done.stderr
        return done

    def printed(self, command: str, *options: str) -> Any:
        return printed(*self.words(command, *options))

    def refused(self, code: int, command: str, *options: str) -> str:
        return complaint(code, *self.words(command, *options))

    def pay(self, amount: str = "1000", reference: str = "order-1") -> None:
        self.printed("payment record", "--amount", amount, "--reference", reference)

    def listed(self) -> dict[str, str]:
        """The account as `account list` shows it."""
        (found,) = [
            one for one in printed("account", "list", "--database", self.database) if one["account"] == self.account
        ]
        return {str(name): str(value) for name, value in found.items()}

    def numbers(self) -> tuple[str, ...]:
        """The four numbers, without needless zeros."""
        return numbers_of(self.listed())


def numbers_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The four numbers of a record, without needless zeros."""
    return tuple(record[name].rstrip("0").removesuffix(".") for name in NUMBERS)


def open_ledger(database: str, *, policy: bool = True) -> Ledger:
    """A new merchant's new account, in this process: the command line is not what is tested by it."""

    async def open_account() -> str:
        async with await Database.open(database, create=True) as opened:
            registry = Registry(opened)
            account = await registry.open_account((await registry.add_merchant("Shop")).id, "RUB")
            if policy:
                terms = Policy(
                    fee_percent=29 * WHOLE // 10,
                    fee_fixed=10 * WHOLE,
                    hold_percent=20 * WHOLE,
                    hold_days=2,
                    reserve_percent=5 * WHOLE,
                    reserve_days=30,
                )
                await Books(opened).book(SetPolicy(account=account.id, policy=terms, reference="terms-1"))
            return str(account.id)

    return Ledger(database, asyncio.run(open_account()))
