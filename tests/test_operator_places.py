"""Places at work: given in the order of coming, never lost, and waited for only so long."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from alikassa.server.operator.places import Places

pytestmark = pytest.mark.anyio


async def _settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def _cancelled(task: asyncio.Task[bool]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_they_are_given_in_the_order_of_coming() -> None:
    places = Places(2, 5)
    assert [await places.take(), await places.take()] == [True, True]
    told: list[str] = []

    async def wait(name: str) -> None:
        assert await places.take()
        told.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await _settle()
    assert told == []
    for done in ("a", "ab", "abc"):
        places.leave()
        await _settle()
        assert told == list(done)
    for task in tasks:
        await task


async def test_who_gives_up_takes_no_place() -> None:
    """Neither while he waits, nor when he had just been given one and had not heard of it."""
    places = Places(1, 5)
    assert await places.take()
    gone, told, last = (asyncio.create_task(places.take()) for _ in range(3))
    await _settle()
    await _cancelled(gone)
    # The second is told in this turn of the loop, and cancelled before his own.
    places.leave()
    await _cancelled(told)
    assert told.cancelled()
    assert await asyncio.wait_for(last, 1)
    places.leave()
    assert await asyncio.wait_for(places.take(), 1)


@pytest.mark.by_the_clock
async def test_each_waits_his_own_time() -> None:
    """The second came later, so he is told later; and a place that is free then is not lost with them."""
    places = Places(1, 0.2)
    assert await places.take()
    begun = time.monotonic()

    async def wait(after: float) -> tuple[bool, float]:
        await asyncio.sleep(after)
        return await places.take(), time.monotonic() - begun

    both = asyncio.gather(wait(0), wait(0.1))
    (first, first_at), (second, second_at) = await asyncio.wait_for(both, 5)
    assert (first, second) == (False, False)
    assert 0.19 <= first_at < second_at
    assert 0.29 <= second_at < 1
    places.leave()
    assert await asyncio.wait_for(places.take(), 1)
    # And once more, after nobody had been waiting.
    assert not await asyncio.wait_for(places.take(), 1)
