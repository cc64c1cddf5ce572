"""An ASGI application that tells what it sees, run by the web server once as it is and once behind `Front`."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

from alikassa.server.operator.front import Front
from alikassa.server.operator.refusals import RequestError

_last_heard: list[str] = []
_STREAMED = (b"stream", b"held", b"unread", b"gone")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """`?stream` answers piece by piece, `?held` so and keeps what it sends with, `?unread` so without having read the
    body, `?gone` so for two seconds. `?empty` answers with nothing, `?last` with what such a one heard at its end."""
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
        return
    query = scope["query_string"]
    status, heard, size = (200, "", 0) if query == b"unread" else await _read(receive)
    told = json.dumps(_told(scope) | {"heard": heard, "size": size}).encode()
    if query == b"last":
        told = json.dumps(_last_heard).encode()
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 204 if query == b"empty" else status, "headers": headers})
    if query in _STREAMED:
        _last_heard[:] = ["an error"]
        await _stream(send, held=query == b"held", times=40 if query == b"gone" else 2)
    await send({"type": "http.response.body", "body": b"" if query == b"empty" else told, "more_body": False})
    if query in _STREAMED:
        _last_heard[:] = ["nothing"]
        async with asyncio.timeout(2):
            _last_heard[:] = [(await receive())["type"]]


async def _read(receive: Any) -> tuple[int, str, int]:
    """Status, the last message's type, the body's length."""
    heard, size, more = "", 0, True
    try:
        while more:
            message = await receive()
            heard, more = message["type"], message.get("more_body", False)
            size += len(message.get("body", b""))
    except RequestError as refused:
        return refused.status, "refused", size
    return 200, heard, size


async def _stream(send: Any, *, held: bool, times: int) -> None:
    if held:
        gc.disable()
        circle: list[Any] = [send]
        circle.append(circle)
    for number in range(times):
        await send({"type": "http.response.body", "body": b"%d, " % number, "more_body": True})
        await asyncio.sleep(0.05)


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
