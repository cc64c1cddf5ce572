"""`GET /operator/metrics`, for Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from litestar import Request, get
from litestar.response import Response

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.ledger.tokens import token_hash
from alikassa.server.metrics.asked import ASK_SECONDS
from alikassa.server.operator.refusals import RequestError
from alikassa.server.operator.routing import desk_of

if TYPE_CHECKING:
    from alikassa.server.operator.access import Access

__all__ = ["ScrapeAccess", "metrics"]

#: How long the bearer of a token that the database admitted may scrape while the database does not answer, in seconds.
REMEMBERED_SECONDS = 3600.0
_MOST_REMEMBERED = 16


class ScrapeAccess:
    """As for any question, and with one exception: metrics are wanted most while the database is away, which is who
    knows the tokens. So the last tokens that it admitted here are remembered (their hashes), and admitted for an hour
    while it does not answer. One that was revoked is forgotten as soon as the database says so."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._admitted: dict[bytes, float] = {}

    async def admit(self, authorization: str | None) -> None:
        """RequestError (401) when it does not admit, DatabaseError when nobody knows."""
        known = token_hash((authorization or "").partition(" ")[2].strip(" "))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._access.admit(authorization, writes=False)
        except RequestError:
            self._admitted.pop(known, None)
            raise
        except (DatabaseError, TimeoutError) as error:
            if time.monotonic() - self._admitted.get(known, float("-inf")) < REMEMBERED_SECONDS:
                return
            if isinstance(error, DatabaseError):
                raise
            raise DatabaseUnavailableError("The database does not answer in time.") from error
        # The latest last, so that the first is the one to be forgotten.
        self._admitted.pop(known, None)
        self._admitted[known] = time.monotonic()
        if len(self._admitted) > _MOST_REMEMBERED:
            del self._admitted[next(iter(self._admitted))]


@get("/operator/metrics", name="metrics")
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """All of the server's metrics, for any token."""
    desk = desk_of(request)
    await desk.scrapers.admit(request.headers.get("authorization"))
    body, content_type = await desk.scrape.take(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
