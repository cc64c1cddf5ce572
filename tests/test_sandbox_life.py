"""The sandbox's life: what is left after a reset, after its end, and of a request that does not end."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alikassa import RefusedError, ServerError
from alikassa.errors import ConfigurationError, NotFoundError
from alikassa.testing import Failing, RateLimited, Sandbox
from conftest import PAGE_ACCOUNT, Server
from raw_http import connect, parse, read_all, refusal, request


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    """A sandbox with nothing in it."""
    shared.reset()
    return shared


def test_before_and_after_its_life_it_says_so() -> None:
    """What is asked of a sandbox that does not run is a mistake in the test, told in words."""
    sandbox = Sandbox()
    with pytest.raises(ConfigurationError, match="not running"):
        sandbox.account()
    with sandbox:
        account = sandbox.account()
    with pytest.raises(ConfigurationError, match="not running"):
        account.payment("1")


def own_threads() -> int:
    return len([thread for thread in threading.enumerate() if thread.name == "alikassa-sandbox"])


def test_a_taken_port_is_told(sandbox: Sandbox) -> None:
    """A second sandbox on the same port does not start, and leaves no thread."""
    before = own_threads()
    with pytest.raises(ConfigurationError, match="Cannot listen"):
        Sandbox(port=int(sandbox.url.rpartition(":")[2])).start()
    assert own_threads() == before == 1


def test_a_second_life_begins_with_nothing() -> None:
    """Started again, it has no accounts, faults or requests of its first life, and the time is now."""
    sandbox = Sandbox()
    with sandbox:
        account = sandbox.account()
        sandbox.fault(Failing(), times=1)
        with account.client(attempts=1) as client, pytest.raises(ServerError):
            client.balance()
        sandbox.fault(Failing())
        sandbox.advance(days=400)
    assert len(sandbox.requests) == 1  # what was asked can be looked at after its end
    with sandbox:
        assert (sandbox.accounts, sandbox.merchants, list(sandbox.faults), sandbox.requests) == ((), (), [], ())
        assert abs(sandbox.now().timestamp() - time.time()) < 60


def test_after_a_reset_nothing_is_left(sandbox: Sandbox) -> None:
    """The account is unknown, nothing is recorded and the time is now."""
    account = sandbox.account()
    with account.client() as client:
        assert client.balance().balance == 0
    sandbox.advance(days=400)
    sandbox.reset()
    with account.client() as client, pytest.raises(RefusedError):
        client.balance()
    assert [one.status for one in sandbox.requests] == [400]
    assert abs(sandbox.now().timestamp() - time.time()) < 60


def test_a_reset_waits_for_what_is_under_way(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """While threads ask and book, resets break nothing: each of them meets old books or new ones, never none."""
    account = sandbox.account()
    done = threading.Event()
    met: list[Exception] = []

    def again(do: Callable[[], object]) -> None:
        while not done.is_set():
            try:
                do()
            except Exception as error:
                met.append(error)

    with account.client(attempts=1) as client:
        threads = [threading.Thread(target=again, args=(do,)) for do in (client.balance, lambda: account.payment("1"))]
        for thread in threads:
            thread.start()
        for _ in range(4):
            sandbox.reset()
            sandbox.account(id=account.id)
        done.set()
        for thread in threads:
            thread.join(timeout=10)
    assert {type(error) for error in met} <= {RefusedError, NotFoundError}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


CUT = ("Content-Length", "2")


@pytest.mark.by_the_clock
@pytest.mark.parametrize("fault", [None, RateLimited()])
def test_a_stalled_body_is_answered(fault: RateLimited | None) -> None:
    """A body that does not come in its time gets 408 in the server's words, or the fault that was set; and an end."""
    with Sandbox(body_seconds=0.1) as sandbox:
        headers = [("Content-Type", "application/json"), ("Account", PAGE_ACCOUNT), ("Sign", "AAAA"), CUT]
        if fault is not None:
            sandbox.fault(fault)
        server = Server(sandbox.url, None, Path())  # type: ignore[arg-type] # for its port alone
        with connect(server) as connection:
            begun = time.monotonic()
            connection.sendall(request(headers, None, keep_alive=True) + b"{")
            (answer,) = parse(read_all(connection))
            assert 0.1 <= time.monotonic() - begun < 5
        asked = sandbox.requests[-1]
    if fault is None:
        refusal(answer, 408, "body")
        assert b"within 0.1 s" in answer.body
        assert answer.header("connection") == "close"
    else:
        assert answer.status == 429
    assert (asked.status, asked.body) == (answer.status, b"{")


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux lists")
def test_starting_and_stopping_leaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After fifty lives there are as many threads, open files and temporary folders as after the first."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def live(number: int) -> None:
        with Sandbox(tls=number % 2 == 0) as sandbox:
            if number % 5:
                return  # a key takes longer to make than the rest of a life
            account = sandbox.account()
            account.payment("1")
            with account.client() as client:
                client.balance()

    live(0)
    threads, files = threading.active_count(), descriptors()
    for number in range(1, 50):
        live(number)
    # A connection's thread has answered before it has ended.
    until = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert descriptors() <= files
    assert list(tmp_path.iterdir()) == []
