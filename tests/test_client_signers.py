"""Signers that may have to wait: a call's time covers them, and an event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alikassa import (
    AlikassaError,
    AsyncClient,
    BlockingSigner,
    CertificateError,
    Client,
    DeadlineExceededError,
    Incoming,
    NetworkError,
    Outgoing,
)
from conftest import PAGE_ACCOUNT, PAGE_ANSWER


class Slow:
    """Signs after `seconds`, or raises; counts how often it is asked."""

    blocks = True

    def __init__(self, seconds: float = 0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.asked: list[str] = []

    def sign(self, data: bytes, /) -> bytes:
        self.asked.append(threading.current_thread().name)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return b"signature"

    def __repr__(self) -> str:
        return "<Slow>"


class Held(Slow):
    """Signs once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def sign(self, data: bytes, /) -> bytes:
        self.may.wait(60)
        return super().sign(data)


class Canned:
    """Always the page's answer."""

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        return Incoming(200, {}, PAGE_ANSWER)

    def close(self) -> None:
        """Nothing is open."""


class CannedAsync:
    async def send(self, outgoing: Outgoing, /) -> Incoming:
        return Incoming(200, {}, PAGE_ANSWER)

    async def close(self) -> None:
        """Nothing is open."""


def ask(kind: str, signer: BlockingSigner, **settings: Any) -> None:
    if kind == "sync":
        Client(PAGE_ACCOUNT, signer, transport=Canned(), **settings).balance()
    else:
        asyncio.run(AsyncClient(PAGE_ACCOUNT, signer, transport=CannedAsync(), **settings).balance())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.mark.by_the_clock
@BOTH
def test_a_calls_time_covers_its_signer(kind: str) -> None:
    """A signer that does not come to an end does not keep the call, whose error says who was late."""
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"No signature within 0\.2 s by <Slow>"):
        ask(kind, Slow(1.5), timeout=0.2)
    assert time.monotonic() - started < 1.4


@BOTH
def test_a_try_ends_and_the_next_one_takes_the_same_signature(kind: str) -> None:
    """`attempt_timeout` counts too. The signer is not asked again while it is still at it."""
    signer = Slow(0.4)
    ask(kind, signer, attempt_timeout=0.25)
    assert len(signer.asked) == 1


def test_what_came_too_late_serves_the_next_call() -> None:
    """The late signature is remembered."""
    signer = Slow(0.3)
    client = Client(PAGE_ACCOUNT, signer, transport=Canned())
    with pytest.raises(DeadlineExceededError):
        client.balance(timeout=0.1)
    client.balance(timeout=1)
    assert client.balance(timeout=1).currency == "RUB"
    assert len(signer.asked) == 1


def test_threads_wait_for_one_signature_each_as_long_as_it_may() -> None:
    """Fifty threads, one signature; who has less time gives up earlier."""
    signer = Held()
    client = Client(PAGE_ACCOUNT, signer, transport=Canned())
    given_up = threading.Semaphore(0)

    def call(seconds: float) -> str:
        try:
            return client.balance(timeout=seconds).currency
        except DeadlineExceededError:
            given_up.release()
            return "late"

    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(call, seconds) for seconds in (0.1, 60) * 25]
        for _ in range(25):
            given_up.acquire(timeout=30)
        signer.may.set()
        found = [one.result() for one in calls]
    assert found == ["late", "RUB"] * 25
    assert len(signer.asked) == 1


def test_the_event_loop_goes_on_while_it_signs() -> None:
    """The first signature is made off the loop, for all tasks that wait; a cancelled one disturbs no other."""
    signer = Held()

    async def run() -> list[str]:
        async with AsyncClient(PAGE_ACCOUNT, signer, transport=CannedAsync()) as client:
            calls = [asyncio.create_task(client.balance(timeout=60)) for _ in range(20)]
            await asyncio.sleep(0.05)
            calls.pop().cancel()
            for _ in range(10):
                await asyncio.sleep(0.01)
            assert not any(call.done() for call in calls)
            signer.may.set()
            return [found.currency for found in await asyncio.gather(*calls)]

    assert asyncio.run(run()) == ["RUB"] * 19
    assert signer.asked == ["alikassa signer"]


@BOTH
def test_what_a_signer_raises_is_the_calls_error(kind: str) -> None:
    """Ours is told with the call's id, after a try; anybody else's as it is."""
    signer = Slow(error=CertificateError("no such key", remedy="Look."))
    with pytest.raises(CertificateError, match="no such key") as caught:
        ask(kind, signer)
    assert (len(signer.asked), caught.value.remedy, len(caught.value.request_id)) == (1, "Look.", 36)
    with pytest.raises(ZeroDivisionError):
        ask(kind, Slow(error=ZeroDivisionError()))


@BOTH
def test_a_signer_that_cannot_just_now_is_asked_again(kind: str) -> None:
    """A NetworkError of a signer counts as a failed try."""
    signer = Slow(error=NetworkError("away"))
    with pytest.raises(NetworkError, match="away"):
        ask(kind, signer, attempts=2)
    assert len(signer.asked) == 2


def test_calls_that_share_a_failure_have_ids_of_their_own() -> None:
    """One failed signature, ten calls: each error names its own call."""
    client = Client(PAGE_ACCOUNT, Slow(0.2, CertificateError("gone")), transport=Canned())

    def call(_: int) -> str:
        with pytest.raises(AlikassaError) as caught:
            client.balance()
        return caught.value.request_id

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(call, range(10)))) == 10


def test_a_key_in_memory_signs_where_it_is_asked() -> None:
    """It takes a millisecond: no thread is worth it."""
    signer = Slow()
    signer.blocks = False
    ask("sync", signer)
    assert signer.asked == [threading.current_thread().name]
