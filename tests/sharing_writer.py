"""A program that books what a file lists, beside others that do the same on the same database.

    python sharing_writer.py URL FILE

The file has chains of commands (lines as `crash_writer` writes them), with an empty line between two chains. Within a
chain one follows the other; chains are booked at the same time. For each command one line comes back: `booked`,
`repeated` or the error's name, and the command.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from alikassa.errors import AlikassaError
from alikassa.ledger.books import Books
from alikassa.ledger.database import Database
from crash_writer import command_of

TASKS = 32


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(url: str, chains: list[list[str]]) -> None:
    async with await Database.open(url) as database:
        books = Books(database)
        waiting = iter(chains)
        # All begin at once, when the last of them is ready.
        _say("ready")
        await asyncio.to_thread(sys.stdin.readline)

        async def work() -> None:
            for chain in waiting:
                for line in chain:
                    try:
                        booked = await books.book(command_of(line))
                    except AlikassaError as error:
                        _say(f"{type(error).__name__}({error}) {line}")
                    else:
                        _say(f"{'repeated' if booked.repeated else 'booked'} {line}")

        await asyncio.gather(*(work() for _ in range(TASKS)))


if __name__ == "__main__":
    chains = [one.splitlines() for one in Path(sys.argv[2]).read_text().split("\n\n")]
    asyncio.run(main(sys.argv[1], chains))
