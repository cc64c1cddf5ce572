"""Random commands in lockstep on SQLite, on PostgreSQL and on a model in plain dictionaries.

With ALIKASSA_LONG=1, twenty times as many.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import Random
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from alikassa.errors import AlikassaError, ExceedsPaymentError, InsufficientFundsError, PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Command, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Account, Booked
from alikassa.ledger.reader import AccountReader, reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import discrepancies
from alikassa.money import to_units
from books_draw import POLICIES, Commands, jump
from books_model import ModelBooks, totals
from books_model_rules import Refused, Row

_EXAMPLES = 50 * (20 if os.environ.get("ALIKASSA_LONG") == "1" else 1)
_BEGIN = datetime(2026, 3, 5, 21, 30, tzinfo=UTC)

#: What is asked in a step follows from its seed and from what the model knows by then: so a failing run is made short by
#: leaving steps out. Several lists one after the other make it long in the first place.
_SEEDS = st.tuples(*[st.lists(st.integers(0, 2**32), max_size=20)] * 8).map(lambda lists: [*chain(*lists)])
#: Most amounts of a run are some of these, in 10^-8: a whole one, the smallest one, a millionth of all there may be.
_SCALES = st.sampled_from([10**8, 1, 10**24])

#: What a command was answered: the entry, or the refusal.
Answer = tuple[object, ...]


@dataclass
class TestClock:
    """A clock that goes only when it is told to, also backwards."""

    __test__ = False
    at: datetime = _BEGIN

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Engine:
    """One database with the books of one run."""

    database: Database
    clock: TestClock
    reader: AccountReader
    books: Books = field(init=False)
    registry: Registry = field(init=False)
    merchant: uuid.UUID = field(init=False)

    async def begin(self, accounts: Sequence[uuid.UUID]) -> None:
        self.books, self.registry = Books(self.database, self.clock), Registry(self.database, self.clock)
        self.merchant = (await self.registry.add_merchant("Shop")).id
        for account in accounts:
            await self.registry.open_account(self.merchant, "RUB", account)

    async def ask(self, mode: str, commands: Sequence[Command]) -> list[Booked | BaseException]:
        if mode == "together":
            try:
                return list(await self.books.book_together(commands))
            except AlikassaError as error:
                return [error]
        return await asyncio.gather(*map(self.books.book, commands), return_exceptions=True)

    async def stands(self) -> dict[uuid.UUID, Account]:
        return {account.id: account for account in await self.registry.accounts(self.merchant)}


def told(outcome: Booked | BaseException) -> Answer:
    """What the books answered, without what is random in it."""
    if isinstance(outcome, Booked):
        entry = outcome.entry
        moved: dict[str, int] = {}
        for posting in entry.postings:
            moved[str(posting.bucket)] = moved.get(str(posting.bucket), 0) + posting.amount
        moved = {name: amount for name, amount in moved.items() if amount}
        times = (entry.effective_at, entry.recorded_at)
        return ("repeated" if outcome.repeated else "booked", entry.sequence, entry.kind, entry.reference, times, moved)
    if isinstance(outcome, InsufficientFundsError):
        return (type(outcome).__name__, outcome.bucket, to_units(outcome.asked), to_units(outcome.available))
    if isinstance(outcome, ExceedsPaymentError):
        return (type(outcome).__name__, to_units(outcome.asked), to_units(outcome.available))
    if isinstance(outcome, PayoutStateError):
        return (type(outcome).__name__, outcome.state, outcome.claimed)
    if isinstance(outcome, AlikassaError):
        return (type(outcome).__name__, *([outcome.state] if hasattr(outcome, "state") else []))
    raise outcome


def expected(decide: Callable[[], tuple[Row, bool]]) -> tuple[Answer, Row | None]:
    """What the model answers, and the entry that it made."""
    try:
        entry, repeated = decide()
    except Refused as refused:
        return refused.told, None
    return _answer(entry, repeated=repeated), None if repeated else entry


def _answer(entry: Row, *, repeated: bool) -> Answer:
    times = (entry["effective_at"], entry["recorded_at"])
    word = "repeated" if repeated else "booked"
    return (word, entry["sequence"], entry["kind"], entry["reference"], times, entry["moved"])


class Lockstep:
    """One run: two engines, the model, two accounts."""

    def __init__(self, engines: Sequence[Engine], clock: TestClock, scale: int) -> None:
        self._engines = engines
        self._clock = clock
        self._scale = scale
        self._model = ModelBooks(clock)
        self._accounts = [uuid.uuid4(), uuid.uuid4()]

    async def run(self, seeds: Sequence[int]) -> None:
        self._clock.at = _BEGIN
        for account in self._accounts:
            self._model.open(account)
        for engine in self._engines:
            await engine.begin(self._accounts)
        for account, policy in zip(self._accounts, POLICIES, strict=False):
            await self._book("one", [SetPolicy(account=account, policy=policy, reference="first")])
        commands = Commands(self._model, self._accounts, self._scale)
        for seed in seeds:
            await self._step(Random(seed), commands)
        await self._sweep()
        await self._compare_discrepancies()
        # Leaves nothing that a later run's sweep would find.
        self._clock.at += timedelta(days=4000)
        await self._compare_totals()
        await self._sweep()

    async def _step(self, random: Random, commands: Commands) -> None:
        what = random.choices(("one", "gather", "together", "jump", "sweep"), (8, 3, 2, 3, 1))[0]
        note(f"{self._clock.at} {what}")
        if what == "jump":
            self._clock.at += jump(random, self._model)
            await self._compare_totals()
        elif what == "sweep":
            await self._sweep()
        else:
            count = 1 if what == "one" else random.randint(2, 6)
            await self._book(what, [commands.one(random) for _ in range(count)])

    async def _book(self, mode: str, commands: Sequence[Command]) -> None:
        for command in commands:
            note(f"    {command}")
        made: list[Row | None]
        if mode == "together":
            try:
                rows = self._model.book_together(commands)
            except Refused as refused:
                answers, made = [refused.told], [None]
            else:
                answers = [_answer(row, repeated=repeated) for row, repeated in rows]
                made = [None if repeated else row for row, repeated in rows]
        else:
            both = [expected(lambda command=command: self._model.book(command)) for command in commands]  # type: ignore[misc]
            answers, made = [answer for answer, _ in both], [entry for _, entry in both]
        for engine in self._engines:
            outcomes = await engine.ask(mode, commands)
            answered = [told(outcome) for outcome in outcomes]
            assert answered == answers, f"answered {answered}, expected {answers}"
        for outcome, entry in zip(outcomes, made, strict=True):
            if entry is not None and isinstance(outcome, Booked):
                self._name_lots(outcome, entry)
        await self._compare_totals()

    def _name_lots(self, booked: Booked, entry: Row) -> None:
        """Tell the model what the books call the lots of an entry."""
        account = self._model.accounts[booked.entry.account]
        for bucket in ("hold", "rolling_reserve"):
            keys = [
                (posting.lot, posting.amount)
                for posting in booked.entry.postings
                if posting.bucket == bucket and posting.lot and posting.lot.sequence == booked.entry.sequence
            ]
            lots = [account["lots"][number] for number in entry["lots"]]
            lots = [lot for lot in lots if lot["bucket"] == bucket]
            assert [amount for _, amount in keys] == [lot["amount"] for lot in lots]
            for (key, _), lot in zip(keys, lots, strict=True):
                lot["key"] = key

    async def _sweep(self) -> None:
        self._model.sweep()
        for engine in self._engines:
            await engine.books.sweep()
        await self._compare_totals()

    async def _compare_totals(self) -> None:
        """What is booked, and what a balance request would be answered now."""
        for engine in self._engines:
            stands = await engine.stands()
            for id_, model in self._model.accounts.items():
                account = stands[id_]
                assert {str(bucket): amount for bucket, amount in account.buckets.items()} == totals(model)
                assert (account.sequence, account.recorded_at) == (model["sequence"], model["recorded_at"])
                assert (account.state, account.closed_until) == (model["state"], model["closed_until"])
                answer = await engine.reader.find(str(id_))
                assert answer is not None
                numbers = self._model.numbers(id_)
                assert {name: to_units(getattr(answer, name)) for name in numbers} == numbers

    async def _compare_discrepancies(self) -> None:
        for engine in self._engines:
            async with engine.database.read() as connection:
                for id_, model in self._model.accounts.items():
                    rows = await connection.execute(
                        sa.select(discrepancies)
                        .where(discrepancies.c.account_id == id_)
                        .order_by(discrepancies.c.opened_at)
                    )
                    found = [
                        {name: row[name] for name in ("payout", "state", "claimed", "times", "opened_at", "last_at")}
                        | {"open": row["closed_sequence"] is None}
                        for row in rows.mappings()
                    ]
                    assert sorted(found, key=str) == sorted(model["discrepancies"], key=str)


async def _engines(urls: Sequence[str], clock: TestClock, stack: AsyncExitStack) -> list[Engine]:
    engines = []
    for url in urls:
        database = await stack.enter_async_context(await Database.open(url, create=True))
        reader = reader_for(database, clock)
        stack.push_async_callback(reader.close)
        engines.append(Engine(database, clock, reader))
    return engines


def test_the_books_are_the_models(sqlite_url: str, postgresql_url: str) -> None:
    """Whatever is asked, in whatever order and at whatever time, both engines answer what the specification says."""
    clock = TestClock()
    with asyncio.Runner() as runner:

        async def here(work: Callable[[], Awaitable[Any]]) -> Any:
            return await work()

        stack = AsyncExitStack()
        engines = runner.run(_engines([sqlite_url, postgresql_url], clock, stack))

        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(_SCALES, _SEEDS)
        def check(scale: int, seeds: list[int]) -> None:
            runner.run(Lockstep(engines, clock, scale).run(seeds))

        try:
            check()
        finally:
            runner.run(stack.aclose())
