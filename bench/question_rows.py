"""How long questions about one account take, in this process: with a short and with a long year behind it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from large_books import live
from processes import progress
from results import Section
from sizes import compare_sizes

from alikassa import clock
from alikassa.ledger.database import Database
from alikassa.ledger.model import Kind
from alikassa.ledger.questions.balance_at import balance_at
from alikassa.ledger.questions.daily import daily_balances
from alikassa.ledger.questions.explain import explain
from alikassa.ledger.questions.schedule import schedule
from alikassa.ledger.questions.statement import statement
from alikassa.ledger.registry import Registry
from alikassa.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from results import Row

    from alikassa.ledger.model import Account

__all__ = ["measure_questions"]

_FEW = 10**3


def measure_questions(folder: Path, *, many: int, runs: int) -> Section:
    """On SQLite, of an account with 1,000 entries and of one with `many`; in milliseconds, asked in turn."""
    return asyncio.run(_measure(folder, many, runs))


async def _measure(folder: Path, many: int, runs: int) -> Section:
    async with await Database.open(f"sqlite:///{folder / 'questions.db'}", create=True) as database:
        registry = Registry(database)
        merchant = await registry.add_merchant("Shop")
        accounts = {entries: await registry.open_account(merchant.id, "RUB") for entries in (_FEW, many)}
        for entries, account in accounts.items():
            await live(database, account, entries)
        if (found := await verify(database, account=accounts[_FEW].id)).wrong:
            raise RuntimeError(f"These are no books: {found.problems[0]}")
        samples: dict[str, dict[int, list[float]]] = {}
        for number in range(runs + 1):
            for entries, account in accounts.items():
                for name, ask in _questions(database, account).items():
                    start = time.perf_counter()
                    await ask()
                    took = (time.perf_counter() - start) * 1000
                    # The first of each, not counted, finds its statements compiled.
                    if number:
                        samples.setdefault(name, {}).setdefault(entries, []).append(took)
    rows: list[Row] = []
    for name, of in samples.items():
        rows += compare_sizes(name, of)
        progress(f"  {rows[-1].name:<60} {rows[-1].median:>8,.1f} ms")
    return Section("Questions about one account, milliseconds (SQLite)", tuple(rows), lower_is_better=True)


def _questions(database: Database, account: Account) -> dict[str, Callable[[], Awaitable[object]]]:
    def ago(days: int) -> datetime:
        return clock.now() - timedelta(days=days)

    id_ = account.id
    return {
        "statement, the newest": lambda: statement(database, id_, newest=True),
        "statement, 30 days half a year ago": lambda: statement(database, id_, start=ago(210), end=ago(180)),
        "statement, payments": lambda: statement(database, id_, kinds=[Kind.PAYMENT], newest=True),
        "statement, ten fees of a year": lambda: statement(database, id_, kinds=[Kind.FEE], newest=True),
        "balance half a year ago": lambda: balance_at(database, id_, at=ago(180)),
        "explain": lambda: explain(database, id_),
        "schedule": lambda: schedule(database, id_),
        "30 days": lambda: daily_balances(database, id_, days=30),
        "365 days": lambda: daily_balances(database, id_, days=365),
    }
