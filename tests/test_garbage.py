"""The collector of cyclic garbage leaves alone what a serving process holds until it ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from conftest import Shop, run_cli

WORKER = """
application = Application(settings)
loop = asyncio.new_event_loop()
application.__rsgi_init__(loop)
tell()
application.__rsgi_del__(loop)
"""
OPERATOR = """
application = _load(settings, "alikassa.server.operator.application:application")
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
application.__rsgi_init__(loop)
tell()
application.__rsgi_del__(loop)
"""
PROGRAM = """
import asyncio, gc, sys
from alikassa.server.application import Application
from alikassa.server.operator.process import _load
from alikassa.server.settings import Settings

settings = Settings(database=sys.argv[1])

def tell():
    print(gc.get_freeze_count(), len(gc.get_objects()))
"""


@pytest.mark.parametrize("process", [WORKER, OPERATOR], ids=["worker", "operator"])
def test_what_stays_is_passed_over(process: str, tmp_path: Path) -> None:
    """Once it is ready, nearly nothing is left to be looked at again and again."""
    database = f"sqlite:///{tmp_path / 'books.db'}"
    assert run_cli("database", "migrate", "--database", database).returncode == 0
    command = [sys.executable, "-c", PROGRAM + process, database]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    passed_over, looked_at = map(int, done.stdout.split())
    assert passed_over > 50_000
    assert looked_at < passed_over / 50


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_copied_rows_do_not_wait_for_the_collector(shop: Shop) -> None:
    """It comes seldom in a serving process. A class is garbage that only it takes away, with all that it names."""
    async with Database.attach(shop.database) as database:
        books = Books(database)
        await books.book(Payment(uuid.UUID(shop.account), 100, "first"))
        gc.collect()
        gc.disable()
        try:
            before = _classes()
            for number in range(5):
                await books.book(Payment(uuid.UUID(shop.account), 100, f"later-{number}"))
            assert _classes() == before
        finally:
            gc.enable()


def _classes() -> int:
    return sum(isinstance(one, type) for one in gc.get_objects())
