"""Whether the tables hold together, told by statements of the tests' own and by the books' own verification."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from alikassa.ledger.books import Books
from alikassa.ledger.commands import SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Kind
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import accounts, journal_entries, lots, payouts, postings
from alikassa.ledger.verify import verify
from crash_writer import POLICY, command_of

Key = tuple[uuid.UUID, int]


async def open_accounts(database: Database, count: int) -> list[uuid.UUID]:
    """A merchant's accounts, from whose payments fee, hold and reserve are taken."""
    registry, books = Registry(database), Books(database)
    merchant = await registry.add_merchant("Shop")
    opened = [(await registry.open_account(merchant.id, "RUB")).id for _ in range(count)]
    await books.book_together([SetPolicy(account, POLICY, "first terms") for account in opened])
    return opened


async def check_books(database: Database, acknowledged: Iterable[str]) -> int:
    """Every acknowledged line has its entry, whole; the sums hold. The number of entries."""
    entries, lines, held, payouts_found, totals = await _read(database)
    by_name = {(row.account_id, row.kind, row.reference): row for row in entries}
    for line in acknowledged:
        command = command_of(line)
        row = by_name.get(command.named)
        assert row is not None, f"acknowledged and lost: {line}"
        if row.kind == Kind.PAYMENT:
            _check_payment(row, lines[row.account_id, row.sequence], held, int(line.split(" ")[3]))
        elif row.kind == Kind.PAYOUT_CREATED:
            assert command.named[::2] in payouts_found, line
    _check_sums(entries, lines, totals)
    return len(entries)


async def _read(database: Database) -> tuple[Any, ...]:
    lines: dict[Key, list[Any]] = defaultdict(list)
    async with database.read() as connection:
        entry = journal_entries.c
        entries = (
            await connection.execute(
                sa.select(entry.account_id, entry.sequence, entry.kind, entry.reference, entry.lines)
            )
        ).all()
        for row in await connection.execute(sa.select(postings)):
            lines[row.account_id, row.sequence].append(row)
        held = {(row.account_id, row.sequence, row.line): row for row in await connection.execute(sa.select(lots))}
        found = {(row.account_id, row.reference) for row in await connection.execute(sa.select(payouts))}
        totals = (await connection.execute(sa.select(accounts))).all()
    return entries, lines, held, found, totals


def _check_payment(entry: Any, lines: list[Any], held: dict[Any, Any], amount: int) -> None:
    """Of 100: 2 fee, 10 reserve, 20 hold, 68 balance; and a lot for each of the two that are held."""
    part = amount // 100
    assert sorted((line.bucket, line.amount) for line in lines) == [
        ("balance", 68 * part),
        ("hold", 20 * part),
        ("rolling_reserve", 10 * part),
        ("system:clearing", -100 * part),
        ("system:fees", 2 * part),
    ]
    made = [held[entry.account_id, entry.sequence, line.line] for line in lines if line.lot_sequence is not None]
    assert sorted((lot.bucket, lot.amount) for lot in made) == [("hold", 20 * part), ("rolling_reserve", 10 * part)]


def _check_sums(entries: list[Any], lines: dict[Key, list[Any]], totals: list[Any]) -> None:
    """No entry is half there, none is missing in between, and the materialised numbers are the postings' sums."""
    sums: dict[tuple[uuid.UUID, str], int] = defaultdict(int)
    sequences: dict[uuid.UUID, list[int]] = defaultdict(list)
    for entry in entries:
        own = lines.pop((entry.account_id, entry.sequence), [])
        assert len(own) == entry.lines, entry
        assert sum(line.amount for line in own) == 0, entry
        sequences[entry.account_id].append(entry.sequence)
        for line in own:
            sums[entry.account_id, line.bucket] += line.amount
    assert not lines, "postings without an entry"
    for account in totals:
        assert sorted(sequences[account.id]) == list(range(1, account.sequence + 1))
        for bucket in BUCKETS:
            assert getattr(account, bucket.value) == sums[account.id, bucket.value], (account.id, bucket)


async def check_verified(database: Database) -> None:
    """What `alikassa books verify` finds: nothing."""
    found = await verify(database)
    assert found.wrong == 0, [str(problem) for problem in found.problems[:5]]


def told(text: str, what: str) -> list[str]:
    """Of a writer's file: the commands that it said this of."""
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{what} ")]
