"""Our clients, asking again and again: one `Client`, one call after the other, or one `AsyncClient` for many tasks.

Prints one line of JSON: calls, seconds, the balance it was told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from client_options import parse_options, repeat, tell

from alikassa import AsyncClient, Client

if TYPE_CHECKING:
    import argparse

__all__ = ["ask_one_by_one", "ask_together"]


def ask_one_by_one(options: argparse.Namespace) -> None:
    with Client(options.account, options.keys, base_url=options.base_url, ca_bundle=options.ca) as client:
        repeat(lambda: format(client.balance().balance, "f"), options.seconds)


async def ask_together(options: argparse.Namespace) -> None:
    async with AsyncClient(options.account, options.keys, base_url=options.base_url, ca_bundle=options.ca) as client:
        await asyncio.gather(*(client.balance() for _ in range(options.tasks)))
        start = time.perf_counter()

        async def ask() -> int:
            calls = 0
            while time.perf_counter() - start < options.seconds:
                await client.balance()
                calls += 1
            return calls

        calls = sum(await asyncio.gather(*(ask() for _ in range(options.tasks))))
        seconds = time.perf_counter() - start
        tell(calls, seconds, format((await client.balance()).balance, "f"))


if __name__ == "__main__":
    chosen = parse_options("Ask with our clients.", tasks=True)
    if chosen.tasks:
        asyncio.run(ask_together(chosen))
    else:
        ask_one_by_one(chosen)
