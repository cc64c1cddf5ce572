"""How a replica's answer is dated, without anybody's clock but this process's.

This worker writes a number of its own at the primary, one higher each time, and keeps when it began to. Whoever follows
the primary takes over what is committed in the order in which it was. So a snapshot that has a number has everything,
too, that was committed before that number was begun. A server that follows somebody else, a copy that went its own
way, or a primary that has been replaced never gets to have it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from alikassa.ledger.address import backend_bound
from alikassa.ledger.failures import DRIVER_ERRORS

if TYPE_CHECKING:
    import asyncpg

    from alikassa.ledger.address import Address

__all__ = ["NEVER", "Beats"]

#: Before all beats.
NEVER = float("-inf")
# Until a beat counts as failed, a new connection included.
_BEAT_SECONDS = 3.0
#: Beats whose time is known. Older ones are past any bound.
_MOST_KNOWN = 1000
_SETTINGS: dict[str, Any] = {
    # No standby is waited for: what dates the answers of the others must not stop with it.
    "server_settings": {
        "application_name": "alikassa heartbeat",
        "synchronous_commit": "local",
        **backend_bound(_BEAT_SECONDS),
    },
}
_BEAT = (
    "INSERT INTO heartbeats (worker, beat, at) VALUES ($1, $2, clock_timestamp())"
    " ON CONFLICT (worker) DO UPDATE SET beat = excluded.beat, at = excluded.at"
)
# Workers that were killed.
_FORGET = "DELETE FROM heartbeats WHERE at < clock_timestamp() - interval '1 day'"
_LEAVE = "DELETE FROM heartbeats WHERE worker = $1"


class Beats:
    """The beats of one worker, at the primary."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.worker = uuid.uuid4()
        self._beat = 0
        self._begun: deque[float] = deque(maxlen=_MOST_KNOWN)
        self._connection: asyncpg.Connection | None = None

    def begun(self, beat: int | None) -> float:
        """Before which moment (of `time.monotonic`) all is in a snapshot that has this beat. NEVER when not known."""
        if beat is None:
            return NEVER
        back = self._beat - beat
        return self._begun[-1 - back] if 0 <= back < len(self._begun) else NEVER

    async def beat(self) -> bool:
        """Write the next one. Whether it was; if not, it still may have been, and dates what it dates."""
        self._beat += 1
        self._begun.append(time.monotonic())
        try:
            async with asyncio.timeout(_BEAT_SECONDS):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._address.connect(**_SETTINGS)
                    await self._connection.execute(_FORGET)
                await self._connection.execute(_BEAT, self.worker, self._beat)
        except DRIVER_ERRORS:
            self._disconnect()
            return False
        return True

    async def close(self) -> None:
        if self._connection is not None:
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await self._connection.execute(_LEAVE, self.worker)
            except DRIVER_ERRORS:
                pass  # somebody forgets it tomorrow
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
