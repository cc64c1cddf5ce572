"""The operator's application: its addresses, its refusals, and what every answer has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Router, get
from litestar.datastructures import State
from litestar.response import Response

from alikassa.errors import DatabaseError
from alikassa.server.log import configure_logging
from alikassa.server.operator import entries, policies, questions, registering, verifying
from alikassa.server.operator.bounds import Bounds
from alikassa.server.operator.desk import Desk, open_desk
from alikassa.server.operator.document import document_routes
from alikassa.server.operator.manners import Manners
from alikassa.server.operator.metrics import metrics
from alikassa.server.operator.readiness import readyz
from alikassa.server.operator.refusals import problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from litestar.types import ASGIApp

    from alikassa.server.settings import Settings
    from alikassa.server.traces.operator import OperatorSpans

__all__ = ["LONGEST_BODY", "PREFIX", "application"]

HTTP = Request[Any, Any, Any]
Refuse = Callable[[HTTP, Exception], Response[Any]]

PREFIX = "/operator/v1"
#: The largest body that is read, in bytes.
LONGEST_BODY = 1024 * 1024


@get("/operator/healthz", name="healthz")
async def _healthz() -> Response[bytes]:
    return Response(b'{"status":"ok"}', media_type="application/json")


def application(
    settings: Settings,
    beside: Sequence[Router] = (),
    refusals: Mapping[str, Refuse] | None = None,
    guard: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Bounds:
    """The whole of it, to be run by one event loop, with what else is served there. It opens its desk when that
    starts. `refusals`: by the beginning of a path, who tells what the router itself refuses there. `guard` is around
    all that is answered, but not around what is refused for want of room."""

    statuses: Counter[int] = Counter()
    spans = _spans() if settings.traces else None

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        configure_logging()
        async with open_desk(settings, statuses, spans) as desk:
            app.state["desk"] = desk
            yield

    def refuse(request: HTTP, error: Exception) -> Response[Any]:
        own = (one for prefix, one in (refusals or {}).items() if request.url.path.startswith(prefix))
        return next(own, _refuse)(request, error)

    handlers = [
        *entries.routes(),
        *registering.ROUTES,
        *policies.ROUTES,
        *questions.ROUTES,
        *verifying.ROUTES,
    ]
    app = Litestar(
        route_handlers=[
            Router(PREFIX, route_handlers=handlers),
            _healthz,
            readyz,
            metrics,
            *document_routes(PREFIX, handlers),
            *beside,
        ],
        lifespan=[lifespan],
        exception_handlers={Exception: refuse},
        request_max_body_size=LONGEST_BODY,
        openapi_config=None,
        logging_config=None,
        state=State({}, deep_copy=False),
    )
    polite: ASGIApp = Manners(app, statuses, spans)
    return Bounds(polite if guard is None else guard(polite), settings.body_seconds, statuses)


def _spans() -> OperatorSpans:
    # Only for whoever wants traces: OpenTelemetry need not be there.
    from alikassa.server.traces.operator import OperatorSpans

    return OperatorSpans()


def _refuse(request: HTTP, error: Exception) -> Response[bytes]:
    problem = problem_of(error)
    desk: Desk | None = request.app.state.get("desk")
    if problem.unexpected and desk is not None:
        desk.log.failed(request.method, request.url.path, error)
    if isinstance(error, DatabaseError) and desk is not None:
        desk.log.database_failed(error)
    answer = problem.answer
    return Response(answer.body, status_code=answer.status, media_type="application/json", headers=problem.headers)
