"""A hundred thousand different requests that nobody should send, drawn and shrunk by hypothesis: the balance endpoint
answers each in time and says nothing of its insides. `make test-long`; FUZZ_REQUESTS says how many."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from alikassa.protocol.archive import load
from alikassa.protocol.signatures import KeySigner, encode_sign
from conftest import PAGE_ACCOUNT
from long.odd_bodies import odd_bodies
from long.odd_requests import changed
from long.processes import rss_of
from raw_http import INSIDES, request, shop_server

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "100000"))
#: Of one example, which are sent at the same time; a good one is among them.
MOST_TOGETHER = 50
#: Examples that are under way at once: most of their time is waiting for requests that never end.
THREADS = 16
#: Each thread looks after so many examples whether enough was sent.
EXAMPLES = 40
#: How long the server waits for headers and bodies, and how long we for an answer, also to a request that never ends.
PATIENCE = "1"
SECONDS = 10.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True)
class Sent:
    """A request, and how it is sent: whoever sends it closes his side, or pauses in the middle. A `good` one must be
    answered."""

    sent: bytes
    closes: bool = False
    pauses: bool = False
    good: bool = False


# The whole of what failed is told, however long it is.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_nothing_that_is_sent_breaks_the_endpoint(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """No 500, no hang, no word of the insides, memory flat; a good request is answered before, between and after."""
    signed = _signed(archives("payout"))
    with shop_server(tmp_path, archives, "--header-seconds", PATIENCE, "--body-seconds", PATIENCE) as server:
        _Fuzzing(server.port, signed, REQUESTS // 20, first_seed=10_000).run()
        before, begun = rss_of(server.process.pid), time.monotonic()
        sent, statuses = _Fuzzing(server.port, signed, REQUESTS, first_seed=0).run()
        after, took = rss_of(server.process.pid), time.monotonic() - begun
        asyncio.run(_send(server.port, [Sent(signed[0], good=True)]))
        assert server.process.poll() is None
        log = server.log()
    with capsys.disabled():
        print(
            f"\n{sent:,} different requests in {took:.0f} s: {dict(sorted(statuses.items()))};"
            f" memory {before >> 20} -> {after >> 20} MiB"
        )
    assert "unexpected error" not in log
    assert "Traceback" not in log
    assert "panicked" not in log
    assert sent >= REQUESTS
    assert statuses[200] > 0
    assert after < before * 1.2 + (20 << 20)


def _signed(archive: Path) -> list[bytes]:
    """Requests whose signatures are right. The first one is good."""
    signer = KeySigner(load(archive))
    return [
        request(
            [
                ("Content-Type", "application/json"),
                ("Account", PAGE_ACCOUNT),
                ("Sign", encode_sign(signer.sign(body))),
            ],
            body,
            keep_alive=True,
        )
        for body in (b"{}", *odd_bodies())
    ]


@st.composite
def _some(draw: st.DrawFn, signed: Sequence[bytes]) -> list[Sent]:
    """Requests that are sent together. They shrink to fewer, with fewer changes: to one by itself, as a client sends
    it."""
    count = draw(st.integers(1, MOST_TOGETHER))
    return [_one(draw(st.randoms(use_true_random=False)), signed) for _ in range(count)]


def _one(chance: random.Random, signed: Sequence[bytes]) -> Sent:
    sent = signed[0] if chance.randrange(2) == 0 else chance.choice(signed)
    if chance.randrange(10) > 0:
        sent = changed(chance, sent)
    # Who has closed his side waits for all that still comes.
    return Sent(sent, closes=chance.randrange(5) == 4, pauses=chance.randrange(20) == 19)


class _Fuzzing:
    """Sends at least so many different ones to a port, in several threads, each of which has hypothesis draw some
    examples after the others. Every seed is another draw, and always the same."""

    def __init__(self, port: int, signed: Sequence[bytes], count: int, first_seed: int) -> None:
        self._port = port
        self._signed = signed
        self._count = count
        self._seeds = itertools.count(first_seed)
        self._statuses: Counter[int] = Counter()
        # Those that were answered as they should be. Hypothesis likes to draw what it has drawn before.
        self._passed: set[int] = set()
        self._counting = threading.Lock()
        self._failed = threading.Event()

    def run(self) -> tuple[int, Counter[int]]:
        """How many were sent, and what was answered."""
        with ThreadPoolExecutor(THREADS) as pool:
            working = [pool.submit(self._work) for _ in range(THREADS)]
            for one in working:
                one.add_done_callback(self._note)
        for one in working:
            one.result()
        return len(self._passed), self._statuses

    def _note(self, done: Future[None]) -> None:
        if done.exception() is not None:
            self._failed.set()

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            while len(self._passed) < self._count and not self._failed.is_set():
                self._draw(runner, next(self._seeds))

    def _draw(self, runner: asyncio.Runner, number: int) -> None:
        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            # What is drawn is large, and drawing it is slow, on purpose.
            suppress_health_check=list(HealthCheck),
            # Of several failures, the requests of the first are what matters.
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(requests=_some(self._signed))
        def send(requests: list[Sent]) -> None:
            fresh = {hash(one): one for one in requests if hash(one) not in self._passed}
            if fresh:
                statuses = runner.run(_send(self._port, [*fresh.values(), Sent(self._signed[0], good=True)]))
                with self._counting:
                    self._statuses += statuses
                    self._passed |= fresh.keys()

        send()


async def _send(port: int, requests: Sequence[Sent]) -> Counter[int]:
    """All at once, each over a connection of its own. The statuses."""
    statuses: Counter[int] = Counter()

    async def send(one: Sent) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                answer = await _exchange(port, one.sent, closes=one.closes, pauses=one.pauses)
        except TimeoutError:
            raise AssertionError(f"no end of an answer to {one.sent!r}") from None
        found = [int(status) for status in STATUS.findall(answer)] or [0]
        statuses.update(found)
        assert 500 not in found, f"{one.sent!r}: {answer!r}"
        assert not INSIDES.search(answer.decode("latin-1")), f"{one.sent!r}: {answer!r}"
        if one.good:
            assert found == [200], f"{one.sent!r}: {answer!r}"

    # All are waited for, so that none of a failed example meets the next one; the first that failed is told.
    for failed in await asyncio.gather(*map(send, requests), return_exceptions=True):
        if failed is not None:
            raise failed
    return statuses


async def _exchange(port: int, sent: bytes, *, closes: bool, pauses: bool) -> bytes:
    """Send it, and take the first whole answer, or whatever comes before the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    try:
        if pauses:
            writer.write(sent[: len(sent) // 2])
            await asyncio.sleep(0.02)
            sent = sent[len(sent) // 2 :]
        writer.write(sent)
        await writer.drain()
        if closes:
            writer.write_eof()
        while chunk := await reader.read(64 * 1024):
            answer += chunk
            if not closes and _is_whole(bytes(answer)):
                break
    except OSError:
        pass
    finally:
        writer.close()
    return bytes(answer)


def _is_whole(answer: bytes) -> bool:
    """Whether the first answer has arrived; one of 100 only says that there will be one."""
    head, ended, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return _is_whole(body)
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(ended) and (length is None or len(body) >= int(length[1]))
