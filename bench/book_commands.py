"""Books commands in this process for some seconds and prints how many a second, as JSON. Each is a full entry,
committed before it counts: a payment has five postings, two lots and its reference claimed; refunds and chargebacks
take a little of one payment of their account, which is booked before the clock starts.

    book_commands.py DATABASE --kind KIND --accounts N --waiting N --seconds N
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
from alikassa.ledger.commands import Chargeback, Payment, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Kind
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
_OF_A_PAYMENT: dict[Kind, type[Refund] | type[Chargeback]] = {Kind.REFUND: Refund, Kind.CHARGEBACK: Chargeback}
KINDS = (Kind.PAYMENT, *_OF_A_PAYMENT)


async def book(url: str, *, kind: Kind, accounts: int, waiting: int, seconds: float) -> dict[str, float]:
    async with await Database.open(url) as database:
        found = [one.id for one in await Registry(database).accounts()][:accounts]
        books, run = Books(database), uuid.uuid4().hex
        for account in found:
            try:
                await books.book(SetPolicy(account, POLICY, "bench"))
            except ConflictError:
                break
        paid = f"{run}-paid"
        if kind in _OF_A_PAYMENT:
            await asyncio.gather(*(books.book(Payment(account, 1000 * SCALE, paid)) for account in found))

        def command(number: int) -> Payment | Refund | Chargeback:
            account, reference = found[number % len(found)], f"{run}-{number}"
            if kind in _OF_A_PAYMENT:
                return _OF_A_PAYMENT[kind](account, paid, SCALE // 100, reference)
            return Payment(account, 1000 * SCALE + number, reference)

        # As in the operator's process.
        spare_what_stays()
        numbers, latencies = count(), list[float]()
        until = time.perf_counter() + seconds

        async def one_after_the_other() -> None:
            while time.perf_counter() < until:
                one = command(next(numbers))
                begun = time.perf_counter()
                booked = await books.book(one)
                latencies.append(time.perf_counter() - begun)
                assert not booked.repeated
                assert booked.entry.kind is kind
                assert kind is not Kind.PAYMENT or len(booked.entry.postings) == 5

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
    parser.add_argument("--kind", choices=[one.value for one in KINDS], default=Kind.PAYMENT.value)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--waiting", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    how = {"accounts": options.accounts, "waiting": options.waiting, "seconds": options.seconds}
    print(json.dumps(uvloop.run(book(options.database, kind=Kind(options.kind), **how))))


if __name__ == "__main__":
    main()
