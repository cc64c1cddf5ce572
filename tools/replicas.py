"""What reading the four numbers from a replica takes off the primary: processor time, while money is being booked.

    python tools/replicas.py [--seconds 5] [--accounts 2000] [--payments 200]

Two PostgreSQL servers are made from the wheel in a folder of their own, the second a streaming standby of the first.
The same reads, of accounts at random and joined as a busy worker joins them, are made without a replica and with one;
between them the kernel is asked how long the primary's processes that serve reads were at work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from standby_servers import Node, make_first, make_second

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import MOST_JOINED, AccountReader, reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.replicas.reader import ReplicaReader, Source
from alikassa.ledger.replicas.settings import ReplicaSettings
from alikassa.money import SCALE

if TYPE_CHECKING:
    import uuid

__all__: list[str] = []

_TICKS = os.sysconf("SC_CLK_TCK")
_READERS = "application_name IN ('alikassa balance', 'alikassa permissions', 'alikassa heartbeat', 'alikassa numbers')"
_STALENESS = 1.0


async def _seconds_at_work(node: Node) -> float:
    """Of this server's processes that serve reads, since they began."""
    rows = await node.ask("postgres", f"SELECT pid FROM pg_stat_activity WHERE {_READERS}")  # noqa: S608 - a constant
    total = 0
    for row in rows:
        with open(f"/proc/{row['pid']}/stat") as file:  # noqa: ASYNC230 - the kernel answers at once
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


async def _read(reader: AccountReader, accounts: list[str], seconds: float) -> int:
    """Joined reads one after the other for so long; how many accounts were read."""
    read, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        asked = random.sample(accounts, MOST_JOINED)
        await asyncio.gather(*map(reader.find, asked))
        read += len(asked)
    return read


async def _book(database: Database, accounts: list[uuid.UUID], a_second: int, over: asyncio.Event) -> None:
    books = Books(database)
    for number in count():
        if over.is_set():
            return
        await books.book(Payment(accounts[number % len(accounts)], SCALE, f"payment-{number}"))
        await asyncio.sleep(1 / a_second)


async def _measure(first: Node, reader: AccountReader, accounts: list[str], seconds: float) -> float:
    """Microseconds of the primary's for an account that was read."""
    await _read(reader, accounts, 2)  # until it is connected and the replica is in use
    before = await _seconds_at_work(first)
    read = await _read(reader, accounts, seconds)
    return 1e6 * (await _seconds_at_work(first) - before) / read


async def _run(folder: Path, options: argparse.Namespace) -> None:
    first = await make_first(folder)
    nodes = [first]
    try:
        await first.ask("postgres", "CREATE DATABASE books")
        second = await make_second(first, synchronous=False)
        nodes.append(second)
        url, replica = (f"postgresql://postgres@/books?host={one.sockets}&port={one.port}" for one in nodes)
        async with await Database.open(url, create=True) as database:
            registry = Registry(database)
            merchant = await registry.add_merchant("Shop")
            opened = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(options.accounts)]
            policy = Policy(hold_percent=20 * SCALE, hold_days=2)
            await Books(database).book_together([SetPolicy(one, policy, "terms") for one in opened])
            accounts = [str(one) for one in opened]
            over = asyncio.Event()
            booking = asyncio.create_task(_book(database, opened, options.payments, over))
            alone, beside = (
                reader_for(database),
                ReplicaReader(database.address, ReplicaSettings((replica,)), _STALENESS),
            )
            for name, reader in (("without a replica", alone), ("with one", beside)):
                took = await _measure(first, reader, accounts, options.seconds)
                print(f"{name:20} {took:6.1f} us of the primary an account read")
                await reader.close()
            sources = beside.counts.sources
            print(f"{'from the replica':20} {100 * sources[Source.REPLICA] / sum(sources.values()):6.1f} %")
            over.set()
            await booking
    finally:
        for node in nodes:
            node.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--payments", type=int, default=200, help="booked a second meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        asyncio.run(_run(Path(folder), options))


if __name__ == "__main__":
    main()
