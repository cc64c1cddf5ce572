"""Several processes book on one database: nothing is lost, nothing is doubled, and no caller hears of the others."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from alikassa.ledger.commands import Chargeback, Command, Payment, PayoutCreate, PayoutFail, PayoutPaid, Refund
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS
from alikassa.ledger.schema import accounts
from crash_checks import check_books, check_verified, open_accounts
from crash_process import seeded
from crash_writer import LONG_AGO, line_of

PROGRAM = Path(__file__).with_name("sharing_writer.py")
CHAINS = 60  # that a process begins itself


def _chain(chance: random.Random, account: uuid.UUID, name: str) -> tuple[list[Command], int]:
    """A payment and what follows it, and by how much that makes the account's four numbers together rise.

    The fee is 2 of 100; a quarter is refunded, a half is charged back, a tenth is paid out.
    """
    part = chance.randint(1, 10**6) * 4
    old = LONG_AGO if chance.random() < 0.3 else None
    commands: list[Command] = [Payment(account, 100 * part, name, effective_at=old)]
    match chance.randrange(5):
        case 0:
            return [*commands, Refund(account, name, 25 * part, f"{name}.back")], 73 * part
        case 1:
            return [*commands, Chargeback(account, name, 50 * part, f"{name}.lost")], 48 * part
        case 2:
            return [*commands, PayoutCreate(account, 10 * part, name), PayoutPaid(account, name)], 88 * part
        case 3:
            return [*commands, PayoutCreate(account, 10 * part, name), PayoutFail(account, name)], 98 * part
    return commands, 98 * part


def _run(url: str, files: list[Path]) -> list[list[str]]:
    """What the processes say, one for each file, all at work at the same time."""
    processes = [
        subprocess.Popen([sys.executable, PROGRAM, url, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for file in files
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(files)
    return said


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_database(database_url: str, tmp_path: Path, count: int) -> None:
    """One hot account and three others, some chains given to two processes: each command is booked exactly once."""
    chance = seeded()

    async def prepare() -> list[uuid.UUID]:
        async with await Database.open(database_url, create=True) as database:
            return await open_accounts(database, 4)

    hot, *others = asyncio.run(prepare())
    work: list[list[str]] = [[] for _ in range(count)]
    expected: Counter[uuid.UUID] = Counter()
    distinct = 0
    for number in range(count * CHAINS):
        account = hot if chance.random() < 0.7 else chance.choice(others)
        commands, rise = _chain(chance, account, f"n{number}")
        expected[account] += rise
        distinct += len(commands)
        text = "\n".join(map(line_of, commands))
        work[number % count].append(text)
        if chance.random() < 0.3:
            work[(number + 1) % count].append(text)
    files = [tmp_path / f"work{place}" for place in range(count)]
    for file, chains in zip(files, work, strict=True):
        file.write_text("\n\n".join(chains))

    said = [line.partition(" ") for lines in _run(database_url, files) for line in lines]
    answers = Counter(answer for answer, _, _ in said)
    assert set(answers) <= {"booked", "repeated"}, answers
    assert answers["booked"] == len({line for answer, _, line in said if answer == "booked"}) == distinct
    assert answers.total() == sum(len(text.splitlines()) for chains in work for text in chains)

    async def check() -> None:
        async with await Database.open(database_url) as database:
            await check_books(database, [line for _, _, line in said])
            async with database.read() as connection:
                rows = (await connection.execute(sa.select(accounts))).all()
            assert {row.id: sum(getattr(row, bucket.value) for bucket in BUCKETS) for row in rows} == expected
            await check_verified(database)

    asyncio.run(check())
