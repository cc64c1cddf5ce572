"""Random adjustments against a plain dictionary that knows nothing of our rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alikassa.errors import AlikassaError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import BUCKETS, Bucket
from alikassa.ledger.registry import Registry
from alikassa.money import BOUND

COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(BUCKETS),
        st.one_of(st.integers(-5, 5), st.integers(-BOUND + 1, BOUND - 1)),
        st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    ),
    max_size=12,
)


class Model:
    """What should happen, in the simplest words: totals in a dictionary, references in another."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = dict.fromkeys(BUCKETS, 0)
        self.references: dict[str, tuple[str, int]] = {}

    def adjust(self, bucket: str, amount: int, reference: str) -> str:
        if amount == 0:
            return "AmountError"
        if reference in self.references:
            return "repeated" if self.references[reference] == (bucket, amount) else "ConflictError"
        total = self.totals[bucket] + amount
        if total < 0:
            return "InsufficientFundsError"
        if total >= 10**26:
            return "BoundExceededError"
        self.totals[bucket] = total
        self.references[reference] = (bucket, amount)
        return "booked"


async def run(database: Database, commands: list[tuple[Bucket, int, str]]) -> None:
    registry, books, model = Registry(database), Books(database), Model()
    account = await registry.open_account((await registry.add_merchant("Shop")).id, "RUB", uuid4())
    for bucket, amount, reference in commands:
        try:
            booked = await books.book(Adjustment(account.id, bucket, amount, reference, "a test"))
            happened = "repeated" if booked.repeated else "booked"
        except AlikassaError as error:
            happened = type(error).__name__
        assert happened == model.adjust(bucket, amount, reference)
    found = [one for one in await registry.accounts() if one.id == account.id]
    assert found[0].buckets == model.totals


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_random_commands_do_what_the_model_says(
    engine: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """Whatever comes in whatever order, answers and totals are the model's, on both engines."""
    if engine == "sqlite":
        folder: Path = tmp_path_factory.mktemp("model")
        url = f"sqlite:///{folder / 'books.db'}"
    else:
        url = request.getfixturevalue("postgresql_url")

    async def with_database(work: Callable[[Database], object]) -> None:
        async with await Database.open(url, create=True) as database:
            await work(database)  # type: ignore[misc]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(COMMANDS)
    def check(commands: list[tuple[Bucket, int, str]]) -> None:
        asyncio.run(with_database(lambda database: run(database, commands)))

    check()
