"""More than can be answered: the server goes on at its full speed, says no quickly, and is as before afterwards.

The generator shares this machine's cores, so the peak is measured with it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from open_loop import Result, Step, run

from conftest import PAGE_ACCOUNT, Server, _new_postgresql_database, make_shop, run_cli, start_server
from long.loads import known_requests, payments, unknown_requests
from operator_server import operator_served

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMES = 3
BEFORE, OVER, AFTER = 3, 10, 5
CROWD = 2000
# Of what is refused, and of what is answered once the crowd is gone.
QUICK_MS = 1000
CALM_MS = 100


def peak(port: int, requests: Sequence[bytes], seconds: int = 4) -> float:
    """Answers a second when a few connections are always busy."""
    return run(port, requests, [Step(100_000, seconds)], connections=64, most=64, waiting=200).total.rate


def overload(port: int, requests: Sequence[bytes], rate: float) -> Result:
    """Half of the rate, three times as much, half again."""
    steps = [Step(rate / 2, BEFORE), Step(rate * TIMES, OVER), Step(rate / 2, AFTER)]
    return run(port, requests, steps, connections=64, most=CROWD, timeout=5.0, waiting=1000)


def tell(name: str, found: float, result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    over, after = result.steps[1], result.seconds[BEFORE + OVER :]
    with capsys.disabled():
        print(
            f"\n{name}: peak {found:,.0f}/s; at {TIMES} times as much {over.rate:,.0f}/s ({over.rate / found:.2f}),"
            f" p99 {over.ok_latency.p99_ms:,.0f} ms, refused {over.refused:,} within {over.refused_latency.p99_ms:,.0f}"
            f" ms, not sent {over.not_sent:,}, other {over.other + over.broken + over.timeouts:,}; connections"
            f" {result.connections:,}; afterwards p99 a second {[round(one.p99_ms) for one in after]} ms"
        )


def holds(found: float, result: Result) -> None:
    """What must hold, whatever is asked."""
    before, over, after = result.steps
    assert before.ok == before.arrivals
    assert over.rate >= 0.8 * found
    assert over.refused_latency.p99_ms <= QUICK_MS
    unanswered = over.other + over.broken + over.timeouts + over.connect_errors
    assert not unanswered, "what was sent was answered"
    # The first two seconds after it are for what had waited.
    for second in result.seconds[-2:]:
        assert second.p99_ms < CALM_MS
        assert not second.failed
    assert after.ok >= 0.6 * after.arrivals


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path, archives: Callable[[str], Path]) -> Iterator[Server]:
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path / 'books.db'}"
    else:
        database = _new_postgresql_database(request.getfixturevalue("postgresql_server"))
    make_shop(database, archives("payout"), archives("payment"))
    started = start_server(tmp_path, database)
    yield started
    started.stop()


@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_balance_requests(
    server: Server, kind: str, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Signatures that are known, and such as have to be verified each time."""
    make = known_requests if kind == "known" else unknown_requests
    requests = make(archives("payout"))
    run(server.port, requests, [Step(500, 1)])
    found = peak(server.port, requests)
    result = overload(server.port, requests, found)
    tell(f"balance, {kind} signatures", found, result, capsys)
    holds(found, result)
    assert "unexpected" not in server.log()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_postings(
    request: pytest.FixtureRequest,
    engine: str,
    tmp_path: Path,
    archives: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Payments through the operator's API. Whatever was answered with success is in the books, and nothing twice."""
    if engine == "sqlite":
        database = f"sqlite:///{tmp_path / 'books.db'}"
    else:
        database = _new_postgresql_database(request.getfixturevalue("postgresql_server"))
    make_shop(database, archives("payout"), archives("payment"))
    with operator_served(tmp_path, database) as served:
        port = int(served.url.rpartition(":")[2])
        run(port, payments(served.operator, [PAGE_ACCOUNT], 200), [Step(200, 1)])
        found = peak(port, payments(served.operator, [PAGE_ACCOUNT], 30_000))
        result = overload(port, payments(served.operator, [PAGE_ACCOUNT], 60_000), found)
        tell(f"payments on {engine}", found, result, capsys)
        holds(found, result)
        verified = run_cli("books", "verify", "--database", database)
        assert verified.returncode == 0, verified.stdout
