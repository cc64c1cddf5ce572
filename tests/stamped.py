"""What the balance endpoint asks of `Freshness`, without what it charges in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.protocol.freshness import Stamp

if TYPE_CHECKING:
    from alikassa.server.freshness import Freshness, Refusal


async def check(
    freshness: Freshness, body: object, account: str, certificate: str, *, required: bool
) -> Refusal | None:
    """What is wrong with a body that this certificate signed; None when it may be answered."""
    found = freshness.read(body, account, required=required)
    return await freshness.claim(found, certificate) if isinstance(found, Stamp) else found
