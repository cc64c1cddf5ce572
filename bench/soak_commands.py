"""What is booked while it soaks: payments mostly, refunds of earlier ones, payouts."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
from book_commands import POLICY

from alikassa.ledger.books import Books
from alikassa.ledger.commands import SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.schema import journal_entries
from alikassa.ledger.tokens import Scope, Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from open_loop import Result

__all__ = ["Booked", "Commands", "count_booked", "create_token", "set_policies"]


class Booked(NamedTuple):
    """Each command has a reference of its own: one that is booked twice shows, also beside one that was lost."""

    entries: int
    references: int


class Commands:
    """Different commands without end, each with a reference of its own that begins with `run`."""

    def __init__(self, token: str, accounts: Sequence[str]) -> None:
        self.run = uuid.uuid4().hex[:12]
        self.acknowledged = 0
        # Sent, and without an answer in time.
        self.unknown = 0
        self._token = token
        self._accounts = accounts
        self._number = 0
        # Account and reference of payments that are booked, and of those that were asked for last.
        self._paid: list[tuple[str, str]] = []
        self._asked: list[tuple[str, str] | None] = []

    def make(self, count: int) -> list[bytes]:
        """So many whole requests. In the order of asking none depends on another one of these."""
        made = []
        self._asked = []
        for _ in range(count):
            self._number += 1
            reference = f"{self.run}-{self._number}"
            # Every account has its turn with every kind.
            account = self._accounts[(self._number + self._number // 10) % len(self._accounts)]
            kind, body = "payment", {"amount": "1000.00"}
            if self._number % 10 == 3 and self._paid:
                account, payment = self._paid.pop()
                kind, body = "refund", {"payment": payment, "amount": "100.00"}
            elif self._number % 10 == 7:
                kind, body = "payout_created", {"amount": "50.00", "fee": "1.00"}
            self._asked.append((account, reference) if kind == "payment" else None)
            made.append(self._request(account, kind, {"reference": reference, **body}))
        return made

    def note(self, result: Result) -> None:
        """What came of those that were made last: they are asked for in their order."""
        self.acknowledged += result.total.ok
        self.unknown += result.total.timeouts + result.total.broken
        whole = result.total.ok == result.total.arrivals
        self._paid = [one for one in self._asked[: result.total.arrivals] if one is not None] if whole else []

    def _request(self, account: str, kind: str, content: dict[str, str]) -> bytes:
        body = json.dumps(content).encode()
        head = (
            f"POST /operator/v1/accounts/{account}/{kind} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def set_policies(url: str, accounts: Sequence[str]) -> None:
    """Those of the payments that are measured: a fee, and two lots for each."""
    async with await Database.open(url) as database:
        books = Books(database)
        for account in accounts:
            await books.book(SetPolicy(uuid.UUID(account), POLICY, "soak"))


async def create_token(url: str) -> str:
    """One that writes."""
    async with await Database.open(url) as database:
        return (await Tokens(database).create("soak", Scope.WRITE))[1]


async def count_booked(url: str, run: str) -> Booked:
    """Journal entries whose reference begins with `run`."""
    reference = journal_entries.c.reference
    async with await Database.open(url) as database, database.read() as connection:
        asked = sa.select(sa.func.count(), sa.func.count(reference.distinct())).where(reference.startswith(f"{run}-"))
        return Booked(*(await connection.execute(asked)).one())
