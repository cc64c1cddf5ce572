"""What the client programs share: their options, the loop, the line that they print."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parse_options", "repeat", "tell"]


def parse_options(description: str, *, tasks: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--keys", type=Path, required=True, help="folder of the archive")
    parser.add_argument("--ca", type=Path, required=True, help="PEM file to trust")
    parser.add_argument("--seconds", type=float, default=3)
    if tasks:
        parser.add_argument("--tasks", type=int, default=0, help="ask from so many tasks at once (asyncio)")
        parser.add_argument("--calls", type=int, default=0, help="so many calls of --accounts, all at once (asyncio)")
        parser.add_argument("--accounts", type=lambda text: text.split(","), default=[], help="uuids, with commas")
    else:
        parser.add_argument("--once", action="store_true", help="one call, and the balance it was told")
    return parser.parse_args()


def repeat(ask: Callable[[], str], seconds: float) -> None:
    """Call `ask` for so long, one call after the other. The first call, not counted, warms up."""
    ask()
    calls = 0
    start = now = time.perf_counter()
    while now - start < seconds:
        balance = ask()
        calls += 1
        now = time.perf_counter()
    tell(calls, now - start, balance)


def tell(calls: int, seconds: float, balance: str) -> None:
    print(json.dumps({"calls": calls, "seconds": seconds, "balance": balance}))
