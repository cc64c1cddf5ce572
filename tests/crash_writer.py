"""A program that books as fast as it can until it is killed, and tells of each command in a file of lines.

    python crash_writer.py URL FILE RUN ACCOUNT...

A line is written at once and whole: `asked` before a command is given to the books, `acknowledged` once they have
answered, then what the command is (see `line_of`), so that whoever killed the program can ask again.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from alikassa.errors import DatabaseUnavailableError, InsufficientFundsError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import (
    Chargeback,
    Command,
    Payment,
    PayoutCreate,
    PayoutFail,
    PayoutPaid,
    Refund,
)
from alikassa.ledger.database import Database
from alikassa.ledger.model import Kind
from alikassa.ledger.policy import Policy
from alikassa.money import SCALE

#: Of 100 units 2 are the fee, 10 reserve, 20 hold and 68 balance: a payment has five postings and two lots.
POLICY = Policy(
    fee_percent=2 * SCALE, hold_percent=20 * SCALE, hold_days=7, reserve_percent=10 * SCALE, reserve_days=180
)
#: Held sums of a payment of this time are due, and released by the account's next entry.
LONG_AGO = datetime(2020, 1, 5, 12, tzinfo=UTC)
TASKS = 64


def line_of(command: Command) -> str:
    """Kind, account, reference, amount, and the payment it is about or whether it is an old one."""
    account, kind, reference = command.named
    about = getattr(command, "payment", "") or ("old" if command.effective_at else "-")
    return f"{kind} {account} {reference} {getattr(command, 'amount', 0)} {about}"


def command_of(line: str) -> Command:
    """The very command that a line tells of."""
    kind, account_text, reference, amount_text, about = line.split(" ")
    account, amount = uuid.UUID(account_text), int(amount_text)
    match Kind(kind):
        case Kind.PAYMENT:
            return Payment(account, amount, reference, effective_at=LONG_AGO if about == "old" else None)
        case Kind.REFUND:
            return Refund(account, about, amount, reference)
        case Kind.CHARGEBACK:
            return Chargeback(account, about, amount, reference)
        case Kind.PAYOUT_CREATED:
            return PayoutCreate(account, amount, reference)
        case Kind.PAYOUT_PAID:
            return PayoutPaid(account, reference)
        case Kind.PAYOUT_FAILED:
            return PayoutFail(account, reference)
    raise ValueError(line)


async def work(book: Callable[[Command], Awaitable[bool]], account: uuid.UUID, name: str) -> None:
    """One payment after another, each with what may follow it. `name` makes the references its own."""
    choose = random.Random(name)  # noqa: S311 - the same for the same name
    number = 0
    while True:
        number += 1
        payment = f"{name}.{number}"
        amount = 100 * choose.randint(1, 10**9)
        old = LONG_AGO if choose.random() < 0.3 else None
        await book(Payment(account, amount, payment, effective_at=old))
        match choose.randrange(6):
            case 0:
                await book(Refund(account, payment, amount // 4, f"{payment}.back"))
            case 1 | 2:
                end = PayoutPaid if choose.random() < 0.5 else PayoutFail
                if await book(PayoutCreate(account, amount // 10, payment)):
                    await book(end(account, payment))
            case 3 if choose.random() < 0.2:
                await book(Chargeback(account, payment, amount // 2, f"{payment}.lost"))


async def main(url: str, file: str, run: str, accounts: list[uuid.UUID]) -> None:
    told = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async with await Database.open(url) as database:
        books = Books(database)

        async def book(command: Command) -> bool:
            line = line_of(command)
            os.write(told, f"asked {line}\n".encode())
            while True:
                try:
                    await books.book(command)
                except DatabaseUnavailableError:
                    os.write(told, b"away\n")
                    await asyncio.sleep(0.05)
                except InsufficientFundsError:
                    os.write(told, f"refused {line}\n".encode())
                    return False
                else:
                    os.write(told, f"acknowledged {line}\n".encode())
                    return True

        await asyncio.gather(*(work(book, accounts[n % len(accounts)], f"{run}.{n}") for n in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], [uuid.UUID(one) for one in sys.argv[4:]]))
