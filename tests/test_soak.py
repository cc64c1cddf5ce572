"""What `make soak` makes of what it measured: it fails when something grew, and says where it cannot tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import soak
from open_loop import Counts, Latencies, Result
from soak_commands import Booked, count_booked

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from crash_checks import open_accounts


def result(p99_ms: float, ok: int = 100) -> Result:
    """A hundred requests, of which so many were answered."""
    times = Latencies(1.0, 2.0, p99_ms, p99_ms, p99_ms)
    total = Counts(30.0, 100, ok, 0, 0, 0, 100 - ok, 0, 0, 0, times, times)
    return Result((), total, (), 32, times)


def slices(count: int) -> list[soak.Slice]:
    """All of them alike."""
    return [soak.Slice(result(30.0), result(40.0), 200 << 20, 50) for _ in range(count)]


@pytest.mark.parametrize(
    ("grown", "told"),
    [
        ({"reads": result(100.0)}, "of reads went from 30.0 to 100.0 ms"),
        ({"writes": result(100.0)}, "of writes went from 40.0 to 100.0 ms"),
        ({"memory": 300 << 20}, "memory went from 200 to 300 MiB"),
        ({"files": 90}, "open files went from 50 to 90"),
    ],
)
def test_what_has_grown_is_a_problem(grown: dict[str, Any], told: str) -> None:
    """Also in the shortest run that can tell."""
    for count in (20, 5):
        assert soak._problems(slices(count)) == []
        late = [*slices(count - count // 4), *(replace(one, **grown) for one in slices(count // 4))]
        (problem,) = soak._problems(late)
        assert told in problem
        assert "flat" in soak._verdict([], count)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_run_that_is_too_short_does_not_say_that_nothing_grows(count: int) -> None:
    """It says that it cannot tell; what was not answered is a problem all the same."""
    verdict = soak._verdict([], count)
    assert "too short to tell whether anything grows" in verdict
    assert "flat" not in verdict
    assert soak._problems(slices(count)) == []
    assert soak._problems([soak.Slice(result(30.0, ok=99), result(40.0), 1, 1)]) == [
        "1 reads were refused or not answered"
    ]


class Loaded:
    """Answers calmly from some share of what is asked for on, and never when that is 0."""

    def __init__(self, calm: float) -> None:
        self.calm = calm
        self.shares: list[float] = []

    def run(self, reads: float, _writes: float, _seconds: float) -> tuple[Result, Result]:
        self.shares.append(reads)
        return result(30.0), result(30.0 if reads <= self.calm else 500.0)


def test_a_load_that_is_never_sustained_is_none() -> None:
    """The largest share that is answered quickly is taken; when the smallest is not either, none is, and the run has
    failed."""
    calm: Any = Loaded(0.5)
    never: Any = Loaded(0.0)
    assert soak._sustained(calm, 1.0, 1.0) == (0.5, 0.5)
    assert soak._sustained(never, 1.0, 1.0) is None
    assert never.shares[-1] == 0.2


@pytest.mark.anyio
async def test_a_command_that_is_booked_twice_does_not_make_up_for_one_that_is_lost(database_url: str) -> None:
    """Two entries with one reference are one command; with another one lost the numbers agree, and it shows."""
    async with await Database.open(database_url, create=True) as database:
        one, other = await open_accounts(database, 2)
        books = Books(database)
        await books.book(Payment(one, 10**10, "run-1"))
        await books.book(Payment(one, 10**10, "run-2"))
        await books.book(Payment(one, 10**10, "another-3"))
        assert soak._miscounted(2, 0, await count_booked(database_url, "run")) == []
        await books.book(Payment(other, 10**10, "run-2"))
    booked = await count_booked(database_url, "run")
    assert booked == Booked(entries=3, references=2)
    assert soak._miscounted(3, 0, booked) == [
        "3 commands were acknowledged, 0 unanswered; in the books 2 different ones",
        "1 commands are in the books twice",
    ]
    assert soak._miscounted(1, 1, Booked(2, 2)) == []
    assert soak._miscounted(0, 1, Booked(2, 2)) != []
