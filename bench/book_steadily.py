"""Books so many payments a second to an account of its own: what else a database does while its balances are asked for.
One that takes long holds up none after it, unless too many wait. SIGTERM ends it, and it prints how many a second it
booked in all.

    book_steadily.py DATABASE --rate N
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time

from book_commands import POLICY

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE

__all__ = ["main"]


# Payments that wait for their commit.
_MOST_WAITING = 200


async def book(url: str, rate: int) -> float:
    """Until SIGTERM. How many a second it was."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await Database.open(url) as database:
        registry, books = Registry(database), Books(database)
        merchant = await registry.add_merchant("Sells steadily")
        account = (await registry.open_account(merchant.id, "RUB")).id
        await books.book(SetPolicy(account, POLICY, "bench"))
        free, number = asyncio.Semaphore(_MOST_WAITING), 0

        async def pay(reference: str) -> None:
            await books.book(Payment(account, 1000 * SCALE, reference))
            free.release()

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            while not ended.is_set():
                await free.acquire()
                number += 1
                tasks.create_task(pay(f"steady-{number}"))
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        return number / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description="Book payments at a steady rate.")
    parser.add_argument("database")
    parser.add_argument("--rate", type=int, required=True, help="payments a second")
    options = parser.parse_args()
    print(asyncio.run(book(options.database, options.rate)))


if __name__ == "__main__":
    main()
