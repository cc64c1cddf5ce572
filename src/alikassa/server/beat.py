"""When refusals leave: on a beat that is counted from when their request began.

What was kept of the account, how many certificates it has, whether it was named before: all of that takes microseconds,
which can be told apart by who asks often enough. So a refusal leaves on its beat, whatever it took.
"""

from __future__ import annotations

import asyncio
import time

__all__ = ["AFTER_SECONDS", "next_beat"]

# Many times what a refusal takes.
_BEAT_SECONDS = 0.005
# The loop's timers go by whole milliseconds: this much before the beat a sleep has surely ended.
_COARSE_SECONDS = 0.002
#: What differs by its cause is done so long after a refusal has left: not while it is being sent, and while whoever
#: asks again waits for the next beat.
AFTER_SECONDS = 0.002


async def next_beat(begun: float) -> None:
    """Return on the next beat, to a turn of the loop; `begun` is by the monotonic clock.

    Not by a sleep alone: that ends so many whole milliseconds after it began, and so would tell when that was.
    """
    beats = (time.monotonic() - begun) // _BEAT_SECONDS + 1
    until = begun + beats * _BEAT_SECONDS
    await asyncio.sleep(until - _COARSE_SECONDS - time.monotonic())
    while time.monotonic() < until:  # noqa: ASYNC110 - for a moment, finer than a timer
        # All others have their turn.
        await asyncio.sleep(0)
