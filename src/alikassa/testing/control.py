"""The sandbox's control API over HTTP, for tests in other languages: JSON, on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from alikassa.errors import AlikassaError, ConfigurationError, DatabaseError, InvalidInputError, NotFoundError
from alikassa.protocol.messages import JSON
from alikassa.server.answers import Answer, invalid, problem
from alikassa.server.application import LONGEST_BODY
from alikassa.testing.control_routes import ROUTES, Call, Route, Zip
from alikassa.testing.faults import Fault

if TYPE_CHECKING:
    from alikassa.testing.connections import Exchange, Request
    from alikassa.testing.sandbox import Sandbox

__all__ = ["Control"]

_BODY_SECONDS = 10.0
# A page in a browser reaches 127.0.0.1 too, under a name that its owner has pointed there.
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.ASCII)


class Control:
    """Answers on the control port. The sandbox's methods wait for its event loop, so they run in a thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._routes = [(route, _pattern(route.path)) for route in ROUTES]

    async def answer(self, request: Request, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _read(exchange)
        except TimeoutError:
            body = None
        if body is None:
            answer = problem(413, "The body is too large, or did not arrive in time.", remedy="Send less than 16 KiB.")
        else:
            answer = await asyncio.to_thread(self.decide, request, body)
        exchange.response_bytes(*answer)

    def decide(self, request: Request, body: bytes) -> Answer:
        """The answer, once it is done. It may wait for the sandbox, so not in its event loop."""
        if _HOST.fullmatch(request.headers.get("host") or "") is None:
            return problem(421, "This is not for that host.", remedy="Ask at 127.0.0.1 or localhost.")
        if _is_of_a_page(request):
            return problem(403, "This is not for pages in a browser.", remedy="Ask from a test's own program.")
        try:
            return self._run(request, body)
        except InvalidInputError as error:
            return invalid({"request": [f"{error} {error.remedy}".strip()]})
        except NotFoundError as error:
            return problem(404, str(error), remedy=error.remedy)
        except (ConfigurationError, DatabaseError) as error:
            return problem(503, str(error), remedy=error.remedy or "The sandbox is ending. Start another.")
        except AlikassaError as error:
            return problem(409, str(error), remedy=error.remedy or "See what is booked already.")
        except Exception:
            logging.getLogger("alikassa.testing").exception("unexpected error")
            return problem(500, "Something went wrong here.", remedy="See the sandbox's log.")

    def _run(self, request: Request, body: bytes) -> Answer:
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return _json(describe(self._sandbox))
        found = [(route, match) for route, pattern in self._routes if (match := pattern.fullmatch(request.path))]
        if not found:
            return problem(404, "There is nothing here.", remedy="GET / lists what there is.")
        for route, match in found:
            if route.method == request.method:
                names = tuple(unquote(name) for name in match.groups())
                done = route.run(Call(self._sandbox, names, _shape(route, request, body)))
                return _told(done)
        methods = ", ".join(sorted({route.method for route, _ in found}))
        return problem(
            405, "This method is not for this address.", remedy=f"Use {methods}.", headers=[("allow", methods)]
        )


def describe(sandbox: Sandbox) -> dict[str, Any]:
    """What `GET /` tells: every route with the JSON schema of its body, and of the faults."""
    shapes = [route.body for route in ROUTES if route.body is not None]
    _, schemas = msgspec.json.schema_components([*shapes, Fault], ref_template="#/schemas/{name}")
    return {
        "what": "alikassa sandbox: control API. Nothing here is money.",
        "base_url": sandbox.url,
        "routes": [
            {
                "method": route.method,
                "path": route.path,
                "about": route.about,
                "body": {"$ref": f"#/schemas/{route.body.__name__}"} if route.body else None,
            }
            for route in ROUTES
        ],
        "schemas": schemas,
    }


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", r"([^/]{1,300})", re.escape(path)))


async def _read(exchange: Exchange) -> bytes | None:
    async for _ in exchange:
        if len(exchange.body) > LONGEST_BODY:
            return None
    return bytes(exchange.body)


def _is_of_a_page(request: Request) -> bool:
    """Whether a page in a browser has sent this: also a POST without a body, for which it need not ask before.

    Browsers say so in headers that no page can leave out. `none` is a person who typed the address.
    """
    return bool(request.headers.get_all("origin")) or request.headers.get("sec-fetch-site") not in (None, "none")


def _shape(route: Route, request: Request, body: bytes) -> object:
    """The body as the route takes it. A page in a browser cannot send this type elsewhere without asking first."""
    if request.method != "GET" and body and (request.headers.get("content-type") or "").partition(";")[0] != JSON:
        raise InvalidInputError("The body is not JSON.", remedy=f"Send Content-Type: {JSON}.")
    if route.body is None:
        return None
    try:
        return msgspec.json.decode(body or b"{}", type=route.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"The body does not fit: {error}.", remedy="GET / shows its schema.") from error


def _told(done: object) -> Answer:
    if isinstance(done, Zip):
        return Answer(200, [("content-type", "application/zip"), ("cache-control", "no-store")], done.content)
    return _json({"done": True} if done is None else done)


def _json(value: object) -> Answer:
    return Answer.ok(msgspec.json.encode(value))
