"""Random commands in lockstep on SQLite, on PostgreSQL and on a model in plain dictionaries.

With ALIKASSA_LONG=1, twenty times as many. A run that fails is made short, and says its commands.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from operator import itemgetter
from random import Random
from typing import Any

import asyncpg
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from alikassa.errors import (
    AlikassaError,
    DatabaseError,
    ExceedsPaymentError,
    InsufficientFundsError,
    InvariantError,
    PayoutStateError,
)
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Command, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Booked, LotKey
from alikassa.ledger.policy import Policy
from alikassa.ledger.reader import AccountReader, reader_for
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import discrepancies, payouts
from alikassa.ledger.verify import verify
from alikassa.money import to_units
from books_draw import POLICIES, Commands, jump
from books_model import ModelBooks, totals
from books_model_rules import HELD, Refused, Row

_RUNS = 40 * (20 if os.environ.get("ALIKASSA_LONG") == "1" else 1)
_STEPS = 50
#: For so many seconds steps are left out of a run that fails, as long as it fails without them.
_SHORTENED_FOR = 60
#: Runs begin shortly before clocks change in one of the policies' zones. In Cairo they do at midnight.
_BEGINS = st.sampled_from(
    [
        datetime(2026, 3, 5, 21, 30, tzinfo=UTC),
        datetime(2026, 3, 27, 12, 0, tzinfo=UTC),
        datetime(2026, 4, 22, 22, 30, tzinfo=UTC),
        datetime(2026, 10, 28, 20, 59, 59, 999_999, tzinfo=UTC),
    ]
)

#: Two accounts with different terms.
_POLICIES = st.sampled_from([*permutations(POLICIES, 2)])
#: Most amounts of a run are some of these, in 10^-8: a whole one, the smallest one, a millionth of all there may be.
_SCALES = st.sampled_from([10**8, 10**8, 1, 1, 10**24])

#: What a command was answered: the entry, or the refusal.
Answer = tuple[object, ...]


@dataclass
class TestClock:
    """A clock that goes only when it is told to, also backwards."""

    __test__ = False
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Engine:
    """One database with its books."""

    database: Database
    clock: TestClock
    reader: AccountReader
    books: Books = field(init=False)
    registry: Registry = field(init=False)
    #: The run's.
    merchant: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        self.books, self.registry = Books(self.database, self.clock), Registry(self.database, self.clock)

    async def begin(self, accounts: Sequence[uuid.UUID]) -> None:
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

    async def numbers(self, account: uuid.UUID) -> dict[str, int]:
        """What a balance request would be answered."""
        answer = await self.reader.find(str(account))
        assert answer is not None
        return {str(bucket): to_units(getattr(answer, bucket)) for bucket in BUCKETS}

    async def payouts(self, account: uuid.UUID) -> dict[str, tuple[int, int, bool, str]]:
        """Amount, fee, whether by hand, state."""
        columns = (payouts.c.reference, payouts.c.amount, payouts.c.fee, payouts.c.by_hand, payouts.c.state)
        async with self.database.read() as connection:
            found = await connection.execute(sa.select(*columns).where(payouts.c.account_id == account))
            return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}

    async def discrepancies(self, account: uuid.UUID) -> list[Row]:
        names = ("payout", "state", "claimed", "times", "opened_at", "last_at", "closed_sequence")
        async with self.database.read() as connection:
            found = await connection.execute(sa.select(discrepancies).where(discrepancies.c.account_id == account))
            return [{name: row[name] for name in names} for row in found.mappings()]


def units(text: str) -> int:
    """Of text with eight decimals. A payout with its fee may be asked for that is larger than any amount can be."""
    return int(text.replace(".", ""))


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
        return (type(outcome).__name__, outcome.bucket, units(outcome.asked), units(outcome.available))
    if isinstance(outcome, ExceedsPaymentError):
        return (type(outcome).__name__, units(outcome.asked), units(outcome.available))
    if isinstance(outcome, PayoutStateError):
        return (type(outcome).__name__, outcome.state, outcome.claimed)
    if isinstance(outcome, AlikassaError) and not isinstance(outcome, DatabaseError | InvariantError):
        return (type(outcome).__name__, *([outcome.state] if hasattr(outcome, "state") else []))
    raise outcome


def booked(entry: Row, *, repeated: bool) -> Answer:
    """What the model answered, in the same form."""
    times = (entry["effective_at"], entry["recorded_at"])
    word = "repeated" if repeated else "booked"
    return (word, entry["sequence"], entry["kind"], entry["reference"], times, entry["moved"])


class Lockstep:
    """One run: two engines, the model, two accounts."""

    def __init__(self, engines: Sequence[Engine], clock: TestClock, scale: int, say: Callable[[str], None]) -> None:
        self._engines = engines
        self._clock = clock
        self._say = say
        self._model = ModelBooks(clock)
        self._accounts = [uuid.uuid4(), uuid.uuid4()]
        self._commands = Commands(self._model, self._accounts, scale)

    async def run(self, begin: datetime, policies: Sequence[Policy], seeds: Sequence[int]) -> None:
        self._clock.at = begin
        for account in self._accounts:
            self._model.open(account)
        await self._each(lambda engine: engine.begin(self._accounts))
        for account, policy in zip(self._accounts, policies, strict=True):
            await self._book("one", [SetPolicy(account=account, policy=policy, reference="first")])
        for seed in seeds:
            await self._step(Random(seed))  # noqa: S311 - so that a seed says it all
        await self._sweep()
        # Leaves nothing that the sweep of a later run would find.
        self._clock.at += timedelta(days=4000)
        await self._compare_numbers()
        await self._sweep()
        await self._compare_all()

    async def _each(self, work: Callable[[Engine], Awaitable[Any]]) -> list[Any]:
        """The same on both engines, at the same time."""
        return await asyncio.gather(*map(work, self._engines))

    async def _step(self, random: Random) -> None:
        what = random.choices(("one", "gather", "together", "jump", "sweep"), (8, 3, 2, 3, 1))[0]
        self._say(f"{self._clock.at} {what}")
        if what == "jump":
            self._clock.at += jump(random, self._model)
            await self._compare_numbers()
        elif what == "sweep":
            await self._sweep()
        else:
            count = 1 if what == "one" else random.randint(2, 6)
            await self._book(what, [self._commands.one(random) for _ in range(count)])

    async def _book(self, mode: str, commands: Sequence[Command]) -> None:
        for command in commands:
            self._say(f"    {command}")
        answers, entries = self._decide(mode, commands)
        for outcomes in await self._each(lambda engine: engine.ask(mode, commands)):
            answered = [told(outcome) for outcome in outcomes]
            assert answered == answers, f"{answered} instead of {answers}"
            for outcome, entry in zip(outcomes, entries, strict=True):
                if entry is not None:
                    self._name_lots(outcome, entry)
            for outcome, entry in zip(outcomes, entries, strict=True):
                if entry is not None:
                    self._compare_lots(outcome, entry)
            if mode == "one" and isinstance(outcomes[0], Booked):
                account = outcomes[0].account
                assert account.buckets == self._model.numbers(account.id)
        await self._compare_numbers()

    def _decide(self, mode: str, commands: Sequence[Command]) -> tuple[list[Answer], list[Row | None]]:
        """What the model answers, and the entries that it made."""
        answers: list[Answer] = []
        entries: list[Row | None] = []
        try:
            together = self._model.book_together(commands) if mode == "together" else None
        except Refused as refused:
            return [refused.told], [None]
        for number, command in enumerate(commands):
            try:
                entry, repeated = self._model.book(command) if together is None else together[number]
            except Refused as refused:
                answers.append(refused.told)
                entries.append(None)
            else:
                answers.append(booked(entry, repeated=repeated))
                entries.append(None if repeated else entry)
        return answers, entries

    def _name_lots(self, outcome: Booked, entry: Row) -> None:
        """Tell the model what the books call the lots of an entry."""
        account, sequence = self._model.accounts[outcome.entry.account], outcome.entry.sequence
        for bucket in HELD:
            made = [
                (posting.lot, posting.amount)
                for posting in outcome.entry.postings
                if posting.bucket == bucket and posting.lot is not None and posting.lot.sequence == sequence
            ]
            lots = [account["lots"][number] for number in entry["lots"]]
            lots = [lot for lot in lots if lot["bucket"] == bucket]
            assert [amount for _, amount in made] == [lot["amount"] for lot in lots]
            for (key, _), lot in zip(made, lots, strict=True):
                assert lot["key"] in (None, key)
                lot["key"] = key

    def _compare_lots(self, outcome: Booked, entry: Row) -> None:
        """Which lots that were there before an entry moves."""
        drawn: dict[LotKey, int] = {}
        for posting in outcome.entry.postings:
            if posting.bucket in HELD and posting.lot is not None and posting.lot.sequence != entry["sequence"]:
                drawn[posting.lot] = drawn.get(posting.lot, 0) + posting.amount
        lots = self._model.accounts[outcome.entry.account]["lots"]
        assert drawn == {lots[number]["key"]: amount for number, amount in entry["drawn"].items()}

    async def _sweep(self) -> None:
        self._model.sweep()
        await self._each(lambda engine: engine.books.sweep())
        await self._compare_numbers()

    async def _compare_numbers(self) -> None:
        for id_ in self._accounts:
            expected = self._model.numbers(id_)
            for numbers in await self._each(lambda engine, id_=id_: engine.numbers(id_)):  # type: ignore[misc]
                assert numbers == expected

    async def _compare_all(self) -> None:
        """Accounts and discrepancies as they are kept; and the books are true."""
        for engine in self._engines:
            found = {account.id: account for account in await engine.registry.accounts(engine.merchant)}
            for id_, model in self._model.accounts.items():
                account = found[id_]
                assert account.buckets == totals(model)
                assert (account.sequence, account.recorded_at) == (model["sequence"], model["recorded_at"])
                assert (account.state, account.closed_until) == (model["state"], model["closed_until"])
                by = itemgetter("payout", "claimed", "opened_at")
                assert sorted(await engine.discrepancies(id_), key=by) == sorted(model["discrepancies"], key=by)
                names = ("amount", "fee", "by_hand", "state")
                assert await engine.payouts(id_) == {
                    reference: tuple(payout[name] for name in names) for reference, payout in model["payouts"].items()
                }
                problems = (await verify(engine.database, account=id_)).problems
                assert not problems, problems


async def _engines(urls: Sequence[str], clock: TestClock, stack: AsyncExitStack) -> list[Engine]:
    engines = []
    for url in urls:
        database = await stack.enter_async_context(await Database.open(url, create=True))
        reader = reader_for(database, clock)
        stack.push_async_callback(reader.close)
        engines.append(Engine(database, clock, reader))
    return engines


async def _hurry(postgresql_url: str) -> None:
    """Nothing here asks what a power failure leaves: its commits need not wait for the disk."""
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute(
        f"ALTER DATABASE {await connection.fetchval('SELECT current_database()')} SET synchronous_commit = off"
    )
    await connection.close()


def steps_of(seed: int) -> list[int]:
    """A seed for each step. What is asked in it follows from that and from what the model knows by then."""
    random = Random(seed)  # noqa: S311 - so that a seed says it all
    return [random.getrandbits(64) for _ in range(_STEPS)]


def shortened(steps: list[int], fails: Callable[[list[int]], bool]) -> list[int]:
    """The fewest steps that were found to fail."""
    until = time.monotonic() + _SHORTENED_FOR
    position = 0
    while position < len(steps) and time.monotonic() < until:
        for count in (16, 8, 4, 2, 1):
            fewer = steps[:position] + steps[position + count :]
            if position + count <= len(steps) and fails(fewer):
                steps = fewer
                break
        else:
            position += 1
    return steps


def test_the_books_are_the_models(sqlite_url: str, postgresql_url: str) -> None:
    """Whatever is asked, in whatever order and at whatever time, both engines answer what the specification says."""
    clock = TestClock()
    stack = AsyncExitStack()
    shortest: dict[int, list[int]] = {}
    with asyncio.Runner() as runner:
        runner.run(_hurry(postgresql_url))
        engines = runner.run(_engines([sqlite_url, postgresql_url], clock, stack))

        @settings(
            max_examples=_RUNS,
            phases=[Phase.generate],  # a smaller seed is no shorter run
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(_BEGINS, _POLICIES, _SCALES, st.integers(0, 2**64))
        def check(begin: datetime, policies: tuple[Policy, Policy], scale: int, seed: int) -> None:
            def run(steps: list[int], say: Callable[[str], None]) -> None:
                runner.run(Lockstep(engines, clock, scale, say).run(begin, policies, steps))

            def fails(steps: list[int]) -> bool:
                try:
                    run(steps, lambda _: None)
                except Exception:
                    return True
                return False

            if seed not in shortest and fails(steps_of(seed)):
                shortest[seed] = shortened(steps_of(seed), fails)
            if seed in shortest:
                run(shortest[seed], note)
                raise AssertionError("It failed once, and then it did not.")

        try:
            check()
        finally:
            runner.run(stack.aclose())
