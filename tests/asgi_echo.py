"""An ASGI application that tells what it sees, run by the web server once as it is and once behind `Front`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from alikassa.server.operator.front import Front
from alikassa.server.operator.refusals import RequestError

_last_heard: list[str] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """`?stream` answers piece by piece, `?empty` with nothing, `?last` with what the one before heard at its end."""
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
        return
    status, heard, size = 200, "", 0
    try:
        while heard in ("", "http.request"):
            message = await receive()
            heard = message["type"]
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
    except RequestError as refused:
        status, heard = refused.status, "refused"
    told = json.dumps(_told(scope) | {"heard": heard, "size": size}).encode()
    query = scope["query_string"]
    if query == b"last":
        told = json.dumps(_last_heard).encode()
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 204 if query == b"empty" else status, "headers": headers})
    if query == b"stream":
        for piece in (b"one, ", b"two, "):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if query == b"empty" else told, "more_body": False})
    if query == b"stream":
        _last_heard[:] = ["nothing"]
        async with asyncio.timeout(2):
            _last_heard[:] = [(await receive())["type"]]


def _told(scope: Any) -> dict[str, Any]:
    names = ("type", "http_version", "scheme", "method", "root_path", "path")
    return {
        **{name: scope[name] for name in names},
        "query": scope["query_string"].decode("latin-1"),
        "client": scope["client"][0],
        "server": scope["server"][0],
        # The names as a set would do: their order counts only among those of one name.
        "headers": sorted((name.decode(), value.decode("latin-1")) for name, value in scope["headers"]),
    }


front = Front(application, lambda: None)
