"""One check for all who ask at the same time."""

from __future__ import annotations

import asyncio

import pytest

from alikassa.errors import DatabaseUnavailableError
from alikassa.server import shared
from alikassa.server.shared import Shared

pytestmark = pytest.mark.anyio


async def test_many_share_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """All who ask meanwhile are told what the one check finds, also when one of them goes away; later ones ask anew."""
    monkeypatch.setattr(shared, "FRESH_SECONDS", 0.05)
    checks = 0
    trouble: DatabaseUnavailableError | None = None

    async def check() -> None:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0.01)
        if trouble is not None:
            raise trouble

    ready = Shared(check)
    asking = [asyncio.create_task(ready()) for _ in range(100)]
    await asyncio.sleep(0)
    asking[0].cancel()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in told] == [asyncio.CancelledError] + [type(None)] * 99
    assert checks == 1
    trouble = DatabaseUnavailableError("away")
    await ready()  # what was found a moment ago
    await asyncio.sleep(0.06)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailableError):
            await ready()
    assert checks == 2
