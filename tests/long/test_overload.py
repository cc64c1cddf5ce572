"""More than can be answered: the server goes on at its full speed, says no quickly, and is as before afterwards.

The generator has cores of its own: at three times the peak it takes three times as much of them, and sharing them would
take the server's speed away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engines import postgresql
from open_loop import Result, Step, run

from conftest import PAGE_ACCOUNT, make_shop, run_cli, start_server
from long.loads import known_requests, payments, unknown_requests
from operator_server import operator_served

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMES = 3
BEFORE, OVER, AFTER = 3, 10, 5
CROWD = 2000
# Of what is refused.
QUICK_MS = 1000
# Of what is answered once the crowd is gone: a balance; a payment, which shares a commit with those that came while the
# last one was made, on the one core that the server and its database have here.
CALM_MS = 100
CALM_COMMITS_MS = 600


@contextmanager
def half_of_the_cores(number: int) -> Iterator[None]:
    """What is started meanwhile runs on the first half of this machine's cores, or on the second."""
    every = sorted(os.sched_getaffinity(0))
    half = max(len(every) // 2, 1)
    os.sched_setaffinity(0, (every[:half], every[half:])[number] or every)
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def peak(port: int, requests: Sequence[bytes], seconds: int = 4) -> float:
    """Answers a second when a few connections are always busy."""
    with half_of_the_cores(1):
        return run(port, requests, [Step(100_000, seconds)], connections=64, most=64, waiting=200).total.rate


def overload(port: int, made: Callable[[], Sequence[bytes]]) -> tuple[float, Result]:
    """Half of the peak, three times as much, half again.

    The peak is measured before and after it, and the mean is returned: a machine's speed changes within seconds.
    """
    before = peak(port, made())
    steps = [Step(before / 2, BEFORE), Step(before * TIMES, OVER), Step(before / 2, AFTER)]
    with half_of_the_cores(1):
        result = run(port, made(), steps, connections=64, most=CROWD, timeout=5.0, waiting=1000)
    return (before + peak(port, made())) / 2, result


def tell(name: str, found: float, result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    over, after = result.steps[1], result.seconds[BEFORE + OVER :]
    with capsys.disabled():
        print(
            f"\n{name}: peak {found:,.0f}/s; at {TIMES} times as much {over.rate:,.0f}/s ({over.rate / found:.2f}),"
            f" p99 {over.ok_latency.p99_ms:,.0f} ms, refused {over.refused:,} within {over.refused_latency.p99_ms:,.0f}"
            f" ms, not sent {over.not_sent:,}, other {over.other + over.broken + over.timeouts:,}; connections"
            f" {result.connections:,}; afterwards p99 a second {[round(one.p99_ms) for one in after]} ms"
        )


def holds(found: float, result: Result, calm_ms: float = CALM_MS) -> None:
    """What must hold, whatever is asked."""
    before, over, after = result.steps
    assert before.ok == before.arrivals
    assert over.rate >= 0.8 * found
    assert over.refused_latency.p99_ms <= QUICK_MS
    unanswered = over.other + over.broken + over.timeouts + over.connect_errors
    assert not unanswered, "what was sent was answered"
    # The first two seconds after it are for what had waited.
    for second in result.seconds[-2:]:
        assert second.p99_ms < calm_ms
        assert not second.failed
    assert after.ok >= 0.6 * after.arrivals


@contextmanager
def books_of(engine: str, folder: Path, archives: Callable[[str], Path]) -> Iterator[str]:
    """The URL of a shop's books. A PostgreSQL of the test's own, so that it shares the server's cores and no others."""
    with ExitStack() as stack:
        if engine == "sqlite":
            database = f"sqlite:///{folder / 'books.db'}"
        else:
            database = stack.enter_context(postgresql(folder / "postgresql"))
        make_shop(database, archives("payout"), archives("payment"))
        yield database


@pytest.mark.parametrize("kind", ["known", "unknown"])
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_balance_requests(
    engine: str, kind: str, tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Signatures that are known, and such as have to be verified each time."""
    requests = (known_requests if kind == "known" else unknown_requests)(archives("payout"))
    with ExitStack() as stack:
        with half_of_the_cores(0):
            database = stack.enter_context(books_of(engine, tmp_path, archives))
            server = start_server(tmp_path, database)
            stack.callback(server.stop)
        run(server.port, requests, [Step(500, 1)])
        found, result = overload(server.port, lambda: requests)
        tell(f"balances from {engine}, {kind} signatures", found, result, capsys)
        holds(found, result)
        assert "unexpected" not in server.log()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_postings(
    engine: str, tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Payments through the operator's API: the books are right afterwards."""
    with ExitStack() as stack:
        with half_of_the_cores(0):
            database = stack.enter_context(books_of(engine, tmp_path, archives))
            served = stack.enter_context(operator_served(tmp_path, database))
        port = int(served.url.rpartition(":")[2])
        # The planner has met the books, too.
        run(port, payments(served.operator, [PAGE_ACCOUNT], 5_000), [Step(200, 12)])
        found, result = overload(port, lambda: payments(served.operator, [PAGE_ACCOUNT], 60_000))
        tell(f"payments on {engine}", found, result, capsys)
        holds(found, result, CALM_COMMITS_MS)
        verified = run_cli("books", "verify", "--database", database)
        assert verified.returncode == 0, verified.stdout
