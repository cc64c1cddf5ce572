"""Refusals leave on their beat, whatever they took before."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from alikassa.server.beat import next_beat


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_what_was_done_before_does_not_show(loop: type) -> None:
    """Whether a tenth of a millisecond or two of them had passed: it ends five milliseconds after the beginning, and
    never before. A timer's whole milliseconds would tell them apart by half of one."""

    async def took(seconds: float) -> float:
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            pass
        await next_beat(begun)
        return time.monotonic() - begun

    async def measure() -> list[list[float]]:
        before = (0.0001, 0.0006, 0.0011, 0.0021)
        rounds = [[await took(one) for one in before] for _ in range(40)]
        return [list(column) for column in zip(*rounds, strict=True)]

    with asyncio.Runner(loop_factory=loop) as runner:
        columns = runner.run(measure())
    # The soonest of each: all others had to wait for the machine.
    soonest = [min(column) for column in columns]
    assert min(soonest) >= 0.005
    assert max(soonest) - min(soonest) < 0.0002, soonest


def test_what_took_longer_waits_for_a_later_beat() -> None:
    """A refusal that took seven milliseconds leaves after ten."""

    async def took() -> float:
        begun = time.monotonic()
        await asyncio.sleep(0.007)
        await next_beat(begun)
        return time.monotonic() - begun

    assert uvloop.run(took()) >= 0.01
