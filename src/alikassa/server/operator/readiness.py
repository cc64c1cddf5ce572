"""Whether the operator's process can do its work: the database answers, and takes what is written."""

from __future__ import annotations

import asyncio

from litestar import get
from litestar.response import Response

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.server.operator.refusals import RETRY_SECONDS
from alikassa.server.operator.routing import HTTP, desk_of

__all__ = ["readyz"]

#: After so long whoever asks is told that it does not answer.
_ANSWER_SECONDS = 6.0


@get("/operator/readyz", name="readyz")
async def readyz(request: HTTP) -> Response[bytes]:
    """200 when it can book. Nobody needs a token to ask."""
    desk = desk_of(request)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await desk.reader.ping()
            await desk.database.check_writable()
        if desk.books.trouble is not None:
            raise desk.books.trouble
    except (DatabaseError, TimeoutError) as error:
        told = error if isinstance(error, DatabaseError) else DatabaseUnavailableError("The database does not answer.")
        desk.log.database_failed(told)
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Response(b'{"status":"not ready"}', status_code=503, headers=headers, media_type="application/json")
    return Response(b'{"status":"ready"}', media_type="application/json")
