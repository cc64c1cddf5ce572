"""Whether the operator's process can do its work: the database answers, and takes what is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from litestar import get
from litestar.response import Response

from alikassa.errors import DatabaseError, DatabaseUnavailableError
from alikassa.server.operator.refusals import RETRY_SECONDS
from alikassa.server.operator.routing import HTTP, desk_of

if TYPE_CHECKING:
    from alikassa.ledger.books import Books
    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader

__all__ = ["check_ready", "readyz"]

#: After so long whoever asks is told that it does not answer.
_ANSWER_SECONDS = 6.0


async def check_ready(database: Database, books: Books, reader: AccountReader) -> None:
    """DatabaseError when nothing can be booked now."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await reader.ping()
            await database.check_writable()
    except TimeoutError:
        raise DatabaseUnavailableError("The database does not answer.") from None
    if books.trouble is not None:
        raise books.trouble


@get("/operator/readyz", name="readyz")
async def readyz(request: HTTP) -> Response[bytes]:
    """200 when it can book. Nobody needs a token to ask, and all who do share one look at the database."""
    desk = desk_of(request)
    try:
        await desk.ready()
    except DatabaseError as error:
        desk.log.database_failed(error)
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Response(b'{"status":"not ready"}', status_code=503, headers=headers, media_type="application/json")
    return Response(b'{"status":"ready"}', media_type="application/json")
