"""The operator's process beside the merchants' server: how they start, what they share, how they end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import CONFIGURATION
from conftest import Server, free_port, run_cli
from operator_server import API, Served, operator_served, wait_until

BALANCE = "/v1/account/balance"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that leave it running."""
    folder = tmp_path_factory.mktemp("shared")
    with operator_served(folder, f"sqlite:///{folder / 'books.db'}", "--sweep-seconds", "0.2") as both:
        yield both


@pytest.fixture
def served(sqlite_url: str, tmp_path: Path) -> Iterator[Served]:
    with operator_served(tmp_path, sqlite_url) as both:
        yield both


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def operator_process(main: int) -> int:
    """The child that has a worker of its own; the merchants' workers have none."""
    (found,) = (child for child in children(main) if children(child))
    return found


def is_away(served: Served) -> bool:
    try:
        served.operator.ask("GET", "/operator/healthz")
    except OSError:
        return True
    return False


def test_each_port_has_its_own_api(shared: Served) -> None:
    """The operator's address is on the operator's port alone, the merchants' on theirs; the log, JSON alone,
    names both URLs and no token."""
    assert shared.operator.get("/merchants").status == 200
    assert shared.server.request("GET", f"{API}/merchants")[0] == 404
    assert shared.operator.ask("POST", BALANCE, b"{}", content_type="application/json").status == 404
    assert shared.server.request("GET", BALANCE)[0] == 405
    log = shared.server.log()
    assert log.index(f'"url": "{shared.server.url}"') < log.index(f'"url": "{shared.url}"')
    assert all(line.startswith("{") and line.endswith("}") for line in shared.server.log().splitlines())
    assert not any(token in shared.server.log() for token in (shared.operator.read_token, shared.operator.write_token))


def test_what_is_due_is_swept(shared: Served) -> None:
    """A hold that has run out is released in the books, though nobody asks or books."""
    account = shared.operator.open_account()
    terms = {"hold_percent": "50", "hold_days": 1}
    at = {"effective_at": "2020-01-01T00:00:00Z"}
    shared.operator.done(f"{account}/policy_set", {"policy": terms, "reference": "terms", **at})
    shared.operator.done(f"{account}/payment", {"amount": "10", "reference": "order-1", **at})

    def released() -> bool:
        lines = shared.operator.get(f"{account}/statement?kinds=release").json["lines"]
        return [line["changes"] for line in lines] == [{"balance": "5.00000000", "hold": "-5.00000000"}]

    wait_until(released)


def test_when_the_operators_process_dies_all_ends(served: Served) -> None:
    """Its death ends the merchants' server too, with an exit code that says so."""
    os.kill(operator_process(served.server.process.pid), signal.SIGKILL)
    assert served.server.process.wait(timeout=20) == 6
    served.server.closed = True
    assert "operator's process ended" in served.server.log()
    wait_until(lambda: is_away(served))


def test_when_the_merchants_server_dies_the_operators_ends(served: Served) -> None:
    """Killed, it can tell nobody; the operator's process sees that it is gone."""
    os.kill(served.server.process.pid, signal.SIGKILL)
    wait_until(lambda: is_away(served), 10)


def test_without_the_operator(sqlite_url: str, serve: Callable[..., Server]) -> None:
    """`--no-operator` serves merchants alone: there is one process fewer, and the log names one URL."""
    server = serve(sqlite_url, "--no-operator")
    assert len(children(server.process.pid)) == 1
    assert "operator" not in server.log()


def test_ports_that_cannot_be_used(sqlite_url: str) -> None:
    """A port of the merchants' own, and one that is taken, are refused before anything is served."""
    port = str(free_port())
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = str(holder.getsockname()[1])
        for operators in (port, taken):
            done = run_cli("serve", "--database", sqlite_url, "--port", port, "--operator-port", operators)
            assert (done.returncode, done.stdout) == (CONFIGURATION, "")
            assert "--operator-port" in done.stderr
            assert "Traceback" not in done.stderr
