"""The load generator with an open loop tells the truth about a server that is slow, stalls, refuses or is not there."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import open_loop
import pytest
from open_loop import Step
from processes import free_port

if open_loop.compiler() is None and "ALIKASSA_REQUIRE_TOOLCHAINS" not in os.environ:
    pytest.skip("no C compiler", allow_module_level=True)

pytestmark = pytest.mark.by_the_clock

REQUEST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

#: (number of the request, what answers it): called as each request arrives.
Behaviour = Callable[[int, Callable[[bytes], None]], None]


class _Server(asyncio.Protocol):
    number = 0
    opened = 0
    listening: asyncio.Server

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        type(self).opened += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        assert REQUEST.startswith(self._buffer), "one whole request at a time"
        if self._buffer == REQUEST:
            self._buffer = b""
            type(self).number += 1
            self._behave(self.number - 1, self._answer)

    def _answer(self, answer: bytes) -> None:
        if answer:
            self._transport.write(answer)
        else:
            self._transport.abort()


def _counting() -> type[_Server]:
    class Counting(_Server):
        pass

    return Counting


@contextmanager
def serving(behave: Behaviour) -> Iterator[tuple[int, type[_Server]]]:
    """A server in a thread; its port, and what it has counted."""
    loop, kind = asyncio.new_event_loop(), _counting()
    server = loop.run_until_complete(loop.create_server(lambda: kind(behave), "127.0.0.1", 0))
    kind.listening = server
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1], kind
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def at_once(number: int, answer: Callable[[bytes], None]) -> None:
    answer(OK)


def test_a_known_delay_is_what_is_measured() -> None:
    """Each answer takes 50 ms: so do the percentiles, on as many connections as that needs and no more."""

    def later(number: int, answer: Callable[[bytes], None]) -> None:
        asyncio.get_running_loop().call_later(0.05, answer, OK)

    with serving(later) as (port, server):
        found = open_loop.run(port, [REQUEST], [Step(200, 0.5)], connections=1)
    assert (found.total.arrivals, found.total.ok, found.total.failed) == (100, 100, 0)
    assert server.number == 100
    latency = found.total.ok_latency
    assert 49 <= latency.p50_ms <= 65
    assert latency.p50_ms <= latency.p90_ms <= latency.p99_ms <= latency.p999_ms <= latency.longest_ms
    # 200/s for 0.05 s are 10 at once.
    assert 10 <= found.connections == server.opened <= 30
    assert sum(one.ok for one in found.seconds) == 100


@pytest.mark.parametrize("most", [1, 100])
def test_a_stall_is_charged_with_all_that_was_due_meanwhile(most: int) -> None:
    """A stall of 200 ms within a second: a fifth of the requests wait, from 200 ms down to nothing. A closed loop
    would tell of one. What is expected comes from the server: when it answered, after when each was due."""
    came, answered = [], []

    def stall(number: int, answer: Callable[[bytes], None]) -> None:
        came.append(time.monotonic())
        if number == 60:
            time.sleep(0.2)
        answer(OK)
        answered.append(time.monotonic())

    with serving(stall) as (port, _):
        found = open_loop.run(port, [REQUEST], [Step(200, 1)], connections=1, most=most)
    assert found.total.ok == 200
    first = min(at - number / 200 for number, at in enumerate(came))
    waited = sorted((at - first - number / 200) * 1000 for number, at in enumerate(answered))
    # 10 % wait longer than 100 ms, 1 % longer than 190 ms; longer still where the machine stood still, too.
    assert waited[180] > 85
    assert waited[198] > 180
    latency = found.total.ok_latency
    assert latency.p50_ms == pytest.approx(waited[100], abs=15)
    assert latency.p90_ms == pytest.approx(waited[180], abs=15)
    assert latency.p99_ms == pytest.approx(waited[198], abs=15)


def test_each_arrival_is_counted_once_by_what_became_of_it() -> None:
    """429, 503, another status, a connection cut off, an answer that never comes: told apart, step by step."""
    answers = [
        OK,
        OK,
        b"",
        None,
        *(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % one for one in (429, 503, 503, 400)),
    ]

    def vary(number: int, answer: Callable[[bytes], None]) -> None:
        if (chosen := answers[number % len(answers)]) is not None:
            answer(chosen)

    with serving(vary) as (port, _):
        found = open_loop.run(port, [REQUEST], [Step(400, 0.2), Step(0, 0.1), Step(800, 0.1)], timeout=0.2)
    for step in (found.steps[0], found.steps[2]):
        assert step.arrivals == 80
        assert (step.ok, step.limited, step.unavailable, step.other) == (20, 10, 20, 10)
        assert (step.broken, step.timeouts, step.connect_errors, step.not_sent) == (10, 10, 0, 0)
    assert found.steps[1].arrivals == 0
    assert (found.total.refused, found.total.failed) == (60, 60)


def test_what_finds_no_connection_is_not_sent() -> None:
    """The server never answers: two connections send two before the first timeout, and nobody waits longer."""
    with serving(lambda number, answer: None) as (port, server):
        found = open_loop.run(port, [REQUEST], [Step(100, 0.5)], connections=2, most=2, timeout=0.3, waiting=20)
    assert found.total.timeouts == server.number <= 6
    assert found.total.timeouts + found.total.not_sent == found.total.arrivals == 50
    assert found.connections == 2


def test_a_server_that_goes_away_is_told() -> None:
    """It stops listening and cuts its connections: each arrival from then on is a connect error."""
    with serving(at_once) as (port, _):
        pass
    with pytest.raises(RuntimeError, match="cannot connect: Connection refused"):
        open_loop.run(port, [REQUEST], [Step(100, 0.1)])

    def go_away(number: int, answer: Callable[[bytes], None]) -> None:
        if number == 20:
            server.listening.close()
        answer(OK if number < 20 else b"")

    with serving(go_away) as (port, server):
        found = open_loop.run(port, [REQUEST], [Step(200, 0.2)], connections=1, most=1)
    assert (found.total.ok, found.total.broken, found.total.connect_errors) == (20, 1, 19)


def test_connections_that_the_server_ends_are_opened_again() -> None:
    """`Connection: close` ends a connection after its answer, and no request is lost with it."""
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with serving(lambda number, answer: answer(closing)) as (port, server):
        found = open_loop.run(port, [REQUEST], [Step(200, 0.2)], connections=1)
    assert found.total.ok == 40 == server.number
    assert server.opened >= 40


def test_random_arrivals_come_at_their_rate() -> None:
    """Drawn at random they are as many as they should be, within four deviations, and the same for one seed."""
    with serving(at_once) as (port, _):
        one, same, other = (
            open_loop.run(port, [REQUEST], [Step(1000, 0.3)], seed=seed).total.arrivals for seed in (1, 1, 2)
        )
    assert one == same != other
    assert abs(one - 300) < 70


def test_steps_that_would_not_end_are_refused() -> None:
    """An hour is the most."""
    with pytest.raises(RuntimeError, match="an hour altogether"):
        open_loop.run(free_port(), [REQUEST], [Step(1, 3601)])
