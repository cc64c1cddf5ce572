"""Our clients, asking again and again: one `Client`, one call after the other; one `AsyncClient` for many tasks; or
many accounts' clients with all their calls at once.

Prints one line of JSON: calls, seconds, the balance it was told.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from client_options import parse_options, repeat, tell

from alikassa import AsyncClient, Client
from alikassa.keys import open_signer

if TYPE_CHECKING:
    import argparse

__all__ = ["ask_in_one_go", "ask_one_by_one", "ask_together"]


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


async def ask_in_one_go(options: argparse.Namespace) -> None:
    """A client an account, all calls at once; opening the connections is counted, making the clients is not."""
    signer = open_signer(options.keys)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                AsyncClient(account, signer, base_url=options.base_url, ca_bundle=options.ca)
            )
            for account in options.accounts
        ]
        start = time.perf_counter()
        told = await asyncio.gather(*(clients[number % len(clients)].balance() for number in range(options.calls)))
        tell(options.calls, time.perf_counter() - start, format(told[0].balance, "f"))


if __name__ == "__main__":
    chosen = parse_options("Ask with our clients.", tasks=True)
    if chosen.calls:
        asyncio.run(ask_in_one_go(chosen))
    elif chosen.tasks:
        asyncio.run(ask_together(chosen))
    else:
        ask_one_by_one(chosen)
