"""Snapshots of balances: written with their entries, and compared with what the journal says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from alikassa.ledger import snapshots
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import BUCKETS
from alikassa.ledger.questions.statement import statement
from alikassa.ledger.schema import balance_snapshots
from alikassa.ledger.verify import verify
from alikassa.money import SCALE
from questions_story import Story, day, tell

pytestmark = pytest.mark.anyio

EVERY = 4


@pytest.fixture
async def story(migrated_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """Eight entries, and ten more in one batch, with a snapshot after each fourth."""
    monkeypatch.setattr(snapshots, "EVERY", EVERY)
    async with await Database.open(migrated_url) as database:
        story = await tell(database)
        story.clock.at = day(4)
        more = [Payment(account=story.account.id, amount=SCALE, reference=f"x{number}") for number in range(10)]
        await asyncio.gather(*map(story.books.book, more))
        yield story


async def test_snapshots_are_written_with_their_entries(story: Story) -> None:
    """After each fourth entry: when it was recorded and what the buckets stood at, as the statement has it."""
    lines = (await statement(story.database, story.account.id)).lines
    async with story.database.read() as connection:
        found = await connection.execute(sa.select(balance_snapshots).order_by(balance_snapshots.c.sequence))
        kept = [tuple(row) for row in found]
    here = (lane_of(story.account.id), story.account.id)
    assert len(lines) == 18
    assert kept == [
        (*here, line.entry.sequence, line.entry.recorded_at, *(line.balances[bucket] for bucket in BUCKETS))
        for line in lines[EVERY - 1 :: EVERY]
    ]
    assert (await verify(story.database)).problems == ()


@pytest.mark.parametrize(
    ("forgery", "said"),
    [
        ("DELETE FROM balance_snapshots WHERE sequence = 8", "8: The snapshot is missing of what"),
        ("UPDATE balance_snapshots SET sequence = 9 WHERE sequence = 8", "9: There is a snapshot of what"),
        ("UPDATE balance_snapshots SET sequence = 99 WHERE sequence = 16", "99: No entry made what balance_snapshots"),
        ("UPDATE balance_snapshots SET hold = balance WHERE sequence = 8", "8: After it hold is 10.00000000, and its"),
        (
            "UPDATE balance_snapshots SET recorded_at = (SELECT opened_at FROM accounts) WHERE sequence = 8",
            "8: Its snapshot says that it was recorded 2024-03-01T12:00:00.000000Z.",
        ),
    ],
)
async def test_a_forged_snapshot_is_found(story: Story, forgery: str, said: str) -> None:
    """One that is missing, stands where there is none, belongs to nothing, or says something else than the journal."""
    async with story.database.write() as connection:
        assert (await connection.execute(sa.text(forgery))).rowcount == 1
    found = [str(problem) for problem in (await verify(story.database)).problems]
    assert f"Account {story.account.id}, entry {said}" in " | ".join(found)
