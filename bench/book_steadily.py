"""Books so many payments a second to an account of its own, until it is ended: what else a database does while its
balances are asked for.

    book_steadily.py DATABASE --rate N
"""

from __future__ import annotations

import argparse
import asyncio
import time

from book_commands import POLICY

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE

__all__ = ["main"]


async def book(url: str, rate: int) -> None:
    async with await Database.open(url) as database:
        registry, books = Registry(database), Books(database)
        merchant = await registry.add_merchant("Sells steadily")
        account = (await registry.open_account(merchant.id, "RUB")).id
        await books.book(SetPolicy(account, POLICY, "bench"))
        begun, number = time.perf_counter(), 0
        while True:
            number += 1
            await books.book(Payment(account, 1000 * SCALE, f"steady-{number}"))
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Book payments at a steady rate.")
    parser.add_argument("database")
    parser.add_argument("--rate", type=int, required=True, help="payments a second")
    options = parser.parse_args()
    asyncio.run(book(options.database, options.rate))


if __name__ == "__main__":
    main()
