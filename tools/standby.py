"""Kills a primary under full load and lets its standby take over: is anything lost, and how long is there no answer?

    python tools/standby.py [--seconds 2] [--asynchronous] [--json]

Two PostgreSQL servers are made from the wheel in a folder of their own, the second a streaming standby of the first.
A program books and reads through one URL that names both. Then every process of the primary is killed, the standby is
promoted, and the killed one is brought back as its standby with pg_rewind. Exit code 1 when an acknowledged command
is missing or the books are not true. With `--asynchronous` nobody waits for the standby, and it lags when the primary
dies: that loses what was acknowledged, and shows that a loss would be seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from itertools import count, pairwise
from pathlib import Path

import msgspec
from standby_servers import Node, make_first, make_second, rejoin

from alikassa.errors import DatabaseError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.verify import verify
from alikassa.money import SCALE

__all__ = ["Report", "run"]

_ACCOUNTS, _WAITING = 16, 64
#: How long the lagging standby of `--asynchronous` has received nothing when the primary dies.
_LAG_SECONDS = 0.5
_BACK_SECONDS = 60


class Report(msgspec.Struct, frozen=True):
    """What was seen. Milliseconds are counted from the kill, on this machine, with nobody to notice it first."""

    synchronous: bool
    acknowledged_before: int
    acknowledged_after: int
    #: Acknowledged before the kill, and not in the new primary's journal.
    lost: int
    #: Repeated after the kill because no answer had come, and found booked already.
    found_booked: int
    wrong: int
    promoted_ms: int
    #: From the last answer before to the first one after.
    no_booking_ms: int
    no_balance_ms: int
    rejoined: bool

    @property
    def good(self) -> bool:
        return not self.lost and not self.wrong and self.rejoined


class _Load:
    """Books payments and reads balances as fast as answers come, and keeps when each did."""

    def __init__(self, database: Database, accounts: list[str]) -> None:
        self._database = database
        self._accounts = accounts
        self._numbers = count()
        self.acknowledged: dict[str, float] = {}
        self.read: list[float] = []
        self.found_booked = 0
        self.over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            books = Books(self._database)
            for _ in range(_WAITING):
                group.create_task(self._book(books))
            group.create_task(self._read())

    async def _book(self, books: Books) -> None:
        account_of = [one.id for one in await Registry(self._database).accounts()]
        while not self.over:
            number = next(self._numbers)
            command = Payment(account_of[number % len(account_of)], SCALE + number, f"payment-{number}")
            while True:
                try:
                    booked = await books.book(command)
                except DatabaseError:
                    # It may be booked or not: the same command again finds out.
                    await asyncio.sleep(0.02)
                else:
                    break
            self.found_booked += booked.repeated
            self.acknowledged[command.reference] = time.monotonic()

    async def _read(self) -> None:
        reader = reader_for(self._database)
        try:
            for number in count():
                if self.over:
                    break
                try:
                    await reader.find(self._accounts[number % len(self._accounts)])
                except DatabaseError:
                    await asyncio.sleep(0.005)
                else:
                    self.read.append(time.monotonic())
                    await asyncio.sleep(0.002)
        finally:
            await reader.close()

    async def wait_for_more(self) -> None:
        """Until something is booked and read that was asked after now."""
        known, read = len(self.acknowledged), len(self.read)
        async with asyncio.timeout(_BACK_SECONDS):
            while len(self.acknowledged) <= known + _WAITING or len(self.read) <= read:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


async def run(folder: Path, seconds: float, *, synchronous: bool) -> Report:
    """Both servers are ended when it returns."""
    first = await make_first(folder)
    nodes = [first]
    try:
        second = await make_second(first, synchronous=synchronous)
        nodes.append(second)
        return await _take_over(first, second, seconds, synchronous=synchronous)
    finally:
        for node in nodes:
            node.kill()


async def _take_over(first: Node, second: Node, seconds: float, *, synchronous: bool) -> Report:
    both = f"postgresql://postgres@/books?host={first.sockets},{first.sockets}&port={first.port},{second.port}"
    url = f"{both}&target_session_attrs=primary"
    await first.ask("postgres", "CREATE DATABASE books")
    async with await Database.open(url, create=True) as database:
        registry = Registry(database)
        merchant = await registry.add_merchant("Shop")
        accounts = [str((await registry.open_account(merchant.id, "RUB")).id) for _ in range(_ACCOUNTS)]
        load = _Load(database, accounts)
        loading = asyncio.create_task(load.run())
        try:
            await load.wait_for_more()
            await asyncio.sleep(seconds)
            if not synchronous:
                await second.stop_receiving()
                await asyncio.sleep(_LAG_SECONDS)
            first.kill(*await first.processes())
            killed = time.monotonic()
            before = dict(load.acknowledged)
            await asyncio.to_thread(second.promote)
            promoted = time.monotonic()
            journal = {row["reference"] for row in await second.ask("books", "SELECT reference FROM journal_entries")}
            await load.wait_for_more()
            rejoined = await rejoin(first, second)
            await load.wait_for_more()
        finally:
            load.over = True
            await asyncio.wait_for(loading, _BACK_SECONDS)
        found = await verify(database)
    return Report(
        synchronous=synchronous,
        acknowledged_before=len(before),
        acknowledged_after=len(load.acknowledged) - len(before),
        lost=len(before.keys() - journal),
        found_booked=load.found_booked,
        wrong=len(found.problems),
        promoted_ms=round(1000 * (promoted - killed)),
        no_booking_ms=_gap(list(load.acknowledged.values()), promoted),
        no_balance_ms=_gap(load.read, promoted),
        rejoined=rejoined,
    )


def _gap(answers: list[float], promoted: float) -> int:
    """The longest time without an answer that begins before the standby is promoted: one may still come in late."""
    return round(1000 * max(after - before for before, after in pairwise(answers) if before < promoted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="how long it books before the kill")
    parser.add_argument("--asynchronous", action="store_true", help="nobody waits for the standby, which lags")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="standby-") as folder:
        report = asyncio.run(run(Path(folder), options.seconds, synchronous=not options.asynchronous))
    if options.json:
        print(json.dumps(msgspec.to_builtins(report)))
    else:
        for name in report.__struct_fields__:
            print(f"{name.replace('_', ' '):20} {getattr(report, name)}")
    sys.exit(0 if report.good else 1)


if __name__ == "__main__":
    main()
