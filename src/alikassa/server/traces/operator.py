"""Spans of the operator's process: its requests, and its sweeps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from alikassa.ledger.asking import ASKING
from alikassa.server.traces.incoming import context_of
from alikassa.server.traces.provider import Tracing
from alikassa.server.traces.work import WorkSpans, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar.types import HTTPScope
    from opentelemetry.trace import Span

__all__ = ["OperatorSpans"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class OperatorSpans:
    """One for the process, from `start` to `stop`."""

    def __init__(self) -> None:
        self._tracing = Tracing()

    def start(self) -> None:
        self._tracing.start()

    def stop(self) -> None:
        self._tracing.stop()

    @property
    def work(self) -> WorkSpans:
        return WorkSpans(self._tracing.tracer)

    def begin(self, scope: HTTPScope) -> Span:
        """A request's."""
        told = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name.startswith(b"trace")]
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        return self._tracing.tracer.start_span(
            method,
            context_of(
                [value for name, value in told if name == b"traceparent"],
                [value for name, value in told if name == b"tracestate"],
            ),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
        )

    def end(self, span: Span, scope: HTTPScope, method: str, status: int | None, request_id: str) -> None:
        """It was answered with this status, or was not. The route is known by now; a path may name anything."""
        route: Any = scope.get("path_template")
        if route:
            span.update_name(f"{method if method in _METHODS else '_OTHER'} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("alikassa.request_id", request_id)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            span.set_attribute("error.type", str(status or "no_answer"))
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    @contextmanager
    def sweep(self) -> Iterator[None]:
        """A sweep; the batches within it are for it."""
        span = self._tracing.tracer.start_span("sweep", Context())
        token = ASKING.set((_Sweep(span),))
        try:
            yield
        except Exception as error:
            fail(span, error)
            raise
        finally:
            ASKING.reset(token)
            span.end()


class _Sweep:
    """An asker that is no request."""

    request_id = ""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"
