"""A hundred thousand requests that nobody should send: the balance endpoint answers each in time and says nothing of
its insides. `make test-long`; FUZZ_REQUESTS says how many."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from alikassa.protocol.archive import load
from alikassa.protocol.signatures import KeySigner, encode_sign
from conftest import PAGE_ACCOUNT
from long.odd_bodies import odd_bodies
from long.odd_requests import changed
from long.processes import rss_of
from raw_http import INSIDES, request, shop_server

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "100000"))
CONNECTIONS = 16
#: An answer has to come by then, also to a request that never ends: header and body times are set to a second.
SECONDS = 10.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
#: Every so many requests is a good one.
GOOD = 100


def test_nothing_that_is_sent_breaks_the_endpoint(
    tmp_path: Path, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """No 500, no hang, no word of the insides, memory flat; a good request is answered before, between and after."""
    signed = _signed(archives("payout"))
    with shop_server(tmp_path, archives, "--header-seconds", "1", "--body-seconds", "1") as server:
        asyncio.run(_send(server.port, signed, REQUESTS // 20, seed=1))
        before, begun = rss_of(server.process.pid), time.monotonic()
        statuses = asyncio.run(_send(server.port, signed, REQUESTS, seed=2))
        after, took = rss_of(server.process.pid), time.monotonic() - begun
        assert server.process.poll() is None
        log = server.log()
    with capsys.disabled():
        print(
            f"\n{REQUESTS} requests in {took:.0f} s: {dict(sorted(statuses.items()))};"
            f" memory {before >> 20} -> {after >> 20} MiB"
        )
    assert "unexpected error" not in log
    assert "Traceback" not in log
    assert "panicked" not in log
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


async def _send(port: int, signed: list[bytes], count: int, seed: int) -> Counter[int]:
    """So many requests over some connections at a time, each changed by a chance that a seed decides. The statuses."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            chance = random.Random(seed * 10**9 + number)  # noqa: S311 - a fuzzer's choice
            is_good = number % GOOD == 0
            sent = signed[0] if is_good or chance.random() < 0.5 else chance.choice(signed)
            if not is_good and chance.random() < 0.9:
                sent = changed(chance, sent)
            # Who has closed his side waits for all that still comes.
            closes, pauses = (False, False) if is_good else (chance.random() < 0.2, chance.random() < 0.05)
            try:
                answer = await asyncio.wait_for(_exchange(port, sent, closes=closes, pauses=pauses), SECONDS)
            except TimeoutError:
                raise AssertionError(f"no end of an answer to {sent!r}") from None
            found = [int(one) for one in STATUS.findall(answer)] or [0]
            statuses.update(found)
            assert 500 not in found, f"{sent!r}: {answer!r}"
            assert not INSIDES.search(answer.decode("latin-1")), f"{sent!r}: {answer!r}"
            if is_good:
                assert found == [200], f"{number}: {answer!r}"

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
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
