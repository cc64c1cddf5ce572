"""Books payments in this process for some seconds and prints how many a second, as JSON. Each is a full entry: five
postings, two lots, its reference claimed, committed before it counts.

    book_payments.py DATABASE --accounts N --waiting N --seconds N
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from itertools import count

import uvloop

from alikassa.errors import ConflictError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE, to_units
from alikassa.server.garbage import spare_what_stays

POLICY = Policy(
    fee_percent=to_units("2.9"),
    fee_fixed=10 * SCALE,
    hold_percent=20 * SCALE,
    hold_days=2,
    reserve_percent=5 * SCALE,
    reserve_days=30,
)


async def book(url: str, *, accounts: int, waiting: int, seconds: float) -> dict[str, float]:
    async with await Database.open(url) as database:
        found = [one.id for one in await Registry(database).accounts()][:accounts]
        books, run = Books(database), uuid.uuid4().hex
        for account in found:
            try:
                await books.book(SetPolicy(account, POLICY, "bench"))
            except ConflictError:
                break
        # As in the operator's process.
        spare_what_stays()
        numbers, latencies = count(), list[float]()
        until = time.perf_counter() + seconds

        async def one_after_the_other() -> None:
            while time.perf_counter() < until:
                number = next(numbers)
                command = Payment(found[number % len(found)], 1000 * SCALE + number, f"{run}-{number}")
                begun = time.perf_counter()
                booked = await books.book(command)
                latencies.append(time.perf_counter() - begun)
                assert not booked.repeated
                assert len(booked.entry.postings) == 5

        begun = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(waiting)))
        took = time.perf_counter() - begun
    latencies.sort()
    return {
        "rate": len(latencies) / took,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--waiting", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    measured = book(options.database, accounts=options.accounts, waiting=options.waiting, seconds=options.seconds)
    print(json.dumps(uvloop.run(measured)))


if __name__ == "__main__":
    main()
