"""Reading all books once, in one consistent state, and replaying them account by account.

In memory at any time: a page of each table, and what is open of one account.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import NotFoundError
from alikassa.ledger import rows
from alikassa.ledger.bulk import columns_of, find_rows
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import BUCKETS
from alikassa.ledger.schema import (
    accounts,
    balance_snapshots,
    closed_periods,
    discrepancies,
    journal_entries,
    lots,
    payouts,
    policies,
    postings,
)
from alikassa.ledger.verify import shapes
from alikassa.ledger.verify.pages import PAGE, UNREADABLE, Pages
from alikassa.ledger.verify.problems import Problem, Problems
from alikassa.ledger.verify.replay import Found, Replay
from alikassa.money import from_units

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account, JournalEntry, LotKey
    from alikassa.ledger.verify.heads import Heads
    from alikassa.ledger.verify.held_lots import LotRow

__all__ = ["Progress", "Verified", "verify"]

_LOT = columns_of(lots, "lane", "account_id", "sequence", "line")


class Progress(msgspec.Struct, frozen=True):
    """How far it has come, of how much there is."""

    accounts: int
    entries: int
    all_accounts: int
    all_entries: int


class Verified(msgspec.Struct, frozen=True):
    """What was checked and what is wrong: `wrong` counts all problems, `problems` are the first of them, in the order
    found. `chains` are the accounts whose entries all fit their hashes."""

    accounts: int
    entries: int
    postings: int
    lots: int
    payouts: int
    chains: int
    wrong: int
    problems: tuple[Problem, ...]


async def verify(
    database: Database,
    *,
    account: uuid.UUID | None = None,
    heads: Heads | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verified:
    """Work everything out again, of all accounts or of one (NotFoundError if there is none).

    With `heads`, the journal must also still hold the entries that they name. `progress` is called once a page.
    """
    async with database.read() as connection, _any_text(connection):
        return await _Verification(connection, account, heads or (), progress).run()


@asynccontextmanager
async def _any_text(connection: AsyncConnection) -> AsyncIterator[None]:
    """On SQLite text may hold what is no text: it must not end the reading. The connection's next user reads text."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = str


class _Verification:
    def __init__(
        self,
        connection: AsyncConnection,
        account: uuid.UUID | None,
        heads: Heads,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._connection, self._account, self._progress = connection, account, progress
        self._problems = Problems()
        self._heads: dict[uuid.UUID, dict[int, set[bytes]]] = {}
        for head in heads:
            if account is None or head.account == account:
                self._heads.setdefault(head.account, {}).setdefault(head.sequence, set()).add(head.hash)
        self._accounts = self._pages(accounts, ("lane", "id"), f"{rows.ACCOUNT}, t.lane", shapes.account)
        made = ("lane", "account_id", "sequence", "line")
        self._entries = self._pages(journal_entries, made[:3], f"{rows.ENTRY}, t.lines", shapes.entry)
        self._postings = self._pages(postings, made, f"{rows.POSTING}, t.line", shapes.posting)
        self._lots = self._pages(lots, made, f"{rows.LOT}, t.open", shapes.lot)
        self._payouts = self._pages(payouts, made, rows.PAYOUT, shapes.payout)
        self._snapshots = self._pages(
            balance_snapshots, made[:3], f"t.sequence, t.recorded_at, t.{', t.'.join(BUCKETS)}", shapes.snapshot
        )
        version = (*made[:2], "version")
        self._policies = self._pages(policies, version, f"{rows.POLICY}, t.sequence", shapes.policy)
        self._discrepancies = self._pages(
            discrepancies, ("lane", "account_id", "payout", "claimed", "opened_at"), rows.DISCREPANCY, rows.discrepancy
        )
        self._chains = self._done = 0
        self._all = (0, 0)
        #: What every currency's accounts and the system accounts' postings in it sum to.
        self._trial: dict[str, int] = {}

    def _pages(self, table: sa.Table, order: tuple[str, ...], wanted: str, convert: Callable[[Any], Any]) -> Pages[Any]:
        return Pages(self._connection, self._problems, table, order, wanted, convert, account=self._account)

    async def run(self) -> Verified:
        self._all = await self._count()
        ends = await self._closed_periods()
        async for account, lane in self._accounts.within(()):
            await self._verify(account, lane, ends)
        if self._account is not None and not self._accounts.count:
            raise NotFoundError(f"There is no account {self._account}.", remedy="List them: alikassa account list")
        for part in (
            self._entries,
            self._postings,
            self._lots,
            self._payouts,
            self._snapshots,
            self._policies,
            self._discrepancies,
        ):
            await part.drain()
        await self._check_references()
        for account_id, known in self._heads.items():
            self._problems.add(account_id, max(known), "Its head was exported, and the account is gone.")
        for currency, total in sorted(self._trial.items()):
            if total:
                self._problems.add(None, None, f"The trial balance in {currency} is {from_units(total)}, not zero.")
        return Verified(
            accounts=self._accounts.count,
            entries=self._entries.count,
            postings=self._postings.count,
            lots=self._lots.count,
            payouts=self._payouts.count,
            chains=self._chains,
            wrong=self._problems.count,
            problems=tuple(self._problems.kept),
        )

    async def _verify(self, account: Account, lane: int, ends: set[datetime]) -> None:
        here = (lane, str(account.id))
        replay = Replay(account, await self._policies.take(here), self._problems)
        if lane != lane_of(account.id):
            self._problems.add(account.id, None, f"It is in lane {lane}, and belongs into {lane_of(account.id)}.")
        known = self._heads.pop(account.id, {})
        self._check_head(account.id, 0, known.pop(0, set()), replay.head)
        async for entry, lines in self._entries.within(here):
            await self._replay(replay, here, entry, lines)
            self._check_head(account.id, entry.sequence, known.pop(entry.sequence, set()), entry.hash)
            if replay.sequence % PAGE == 0:
                self._tell()
        replay.finish(await self._discrepancies.take(here), ends)
        for sequence in sorted(known):
            self._problems.add(
                account.id,
                sequence,
                f"It was there when its hash was exported, and the journal ends at {replay.sequence}.",
            )
        self._chains += replay.is_chained
        sums = sum(account.buckets.values()) + sum(replay.system.values())
        self._trial[account.currency] = self._trial.get(account.currency, 0) + sums
        self._done += 1
        if self._done % PAGE == 0 or self._done == self._all[0]:
            self._tell()

    async def _replay(self, replay: Replay, here: tuple[int, str], entry: JournalEntry, lines: int) -> None:
        key = (*here, entry.sequence)
        found = await self._postings.take(key)
        entry = msgspec.structs.replace(entry, postings=tuple(posting for _, posting in found))
        unknown = replay.lots.unknown(entry)
        if unknown:
            replay.lots.revive(await self._find_lots(here, unknown))
        numbers = [number for number, _ in found]
        replay.book(Found(entry, lines, numbers, await self._lots.take(key), await self._payouts.take(key)))
        replay.check_snapshots(await self._snapshots.take(key))

    async def _find_lots(self, here: tuple[int, str], keys: Sequence[LotKey]) -> list[LotRow]:
        wanted = [(*here, *key) for key in keys]
        found = []
        for row in await find_rows(self._connection, _LOT, wanted, f"{rows.LOT}, t.open"):
            # One that cannot be read was a problem when its turn came.
            with suppress(*UNREADABLE):
                found.append(shapes.lot(row))
        return found

    def _check_head(self, account: uuid.UUID, sequence: int, known: set[bytes], is_so: bytes) -> None:
        if known - {is_so}:
            self._problems.add(account, sequence, "It is not the entry whose hash was exported.")

    async def _check_references(self) -> None:
        """One entry a reference: the database sees to it, as long as its index is there."""
        same = (
            journal_entries.c.lane,
            journal_entries.c.account_id,
            journal_entries.c.kind,
            journal_entries.c.reference,
        )
        last = sa.func.max(journal_entries.c.sequence)
        statement = sa.select(*same[1:], last).group_by(*same).having(sa.func.count() > 1)
        if self._account is not None:
            statement = statement.where(same[0] == lane_of(self._account), same[1] == self._account)
        for account, kind, reference, sequence in await self._connection.execute(statement):
            self._problems.add(account, sequence, f"There is another {kind} {reference!r}.")

    async def _closed_periods(self) -> set[datetime]:
        return set(await self._connection.scalars(sa.select(closed_periods.c.until)))

    async def _count(self) -> tuple[int, int]:
        statement = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(accounts.c.sequence), 0))
        if self._account is not None:
            statement = statement.where(accounts.c.lane == lane_of(self._account), accounts.c.id == self._account)
        count, entries = (await self._connection.execute(statement)).one()
        return int(count), int(entries)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(Progress(self._done, self._entries.count, *self._all))
