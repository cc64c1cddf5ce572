"""Spans of a call and of its attempts, where the program has OpenTelemetry.

Nothing of it is imported here: a program that has configured a tracer provider has imported `opentelemetry.trace`
itself, and one that has configured a propagator `opentelemetry.propagate`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Attempt", "end_span", "headers_for", "start_attempt", "start_call"]

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?", re.ASCII)
# What a request has of its own, and no propagator's to say.
_TAKEN = frozenset(
    {"accept", "account", "connection", "content-length", "content-type", "host", "sign", "te", "transfer-encoding"}
    | {"upgrade", "user-agent", "x-request-id"}
)


@dataclass(frozen=True)
class Attempt:
    """What a span says of an attempt. `resends` is how many came before it in this call."""

    url: str
    request_id: str
    resends: int


def start_call(request_id: str) -> Span | None:
    """The span of a whole call, as a child of the program's current one. None where there is no OpenTelemetry."""
    trace = _loaded("opentelemetry.trace", "get_tracer")
    if trace is None:
        return None
    span: Span = trace.get_tracer("alikassa").start_span(
        "alikassa.balance", kind=trace.SpanKind.INTERNAL, attributes={"alikassa.request_id": request_id}
    )
    return span


def start_attempt(attempt: Attempt, call: Span | None) -> Span | None:
    """The span of an attempt, as a child of its call's, named as the HTTP conventions say."""
    trace = _loaded("opentelemetry.trace", "get_tracer")
    if trace is None or call is None:
        return None
    url = urlsplit(attempt.url)
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.full": attempt.url,
        "url.path": url.path,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
        "alikassa.request_id": attempt.request_id,
    }
    if attempt.resends:
        attributes["http.request.resend_count"] = attempt.resends
    span: Span = trace.get_tracer("alikassa").start_span(
        "POST", context=trace.set_span_in_context(call), kind=trace.SpanKind.CLIENT, attributes=attributes
    )
    return span


def headers_for(span: Span | None) -> tuple[tuple[str, str], ...]:
    """What the program's propagator writes of this span, such as `traceparent`; nothing where it has none.

    The program's baggage stays at home: the server is somebody else's.
    """
    trace = _loaded("opentelemetry.trace", "set_span_in_context")
    propagate = _loaded("opentelemetry.propagate", "inject")
    context = _loaded("opentelemetry.context", "Context")
    if span is None or trace is None or propagate is None or context is None or not span.get_span_context().is_valid:
        return ()
    written: dict[str, str] = {}
    propagate.inject(written, trace.set_span_in_context(span, context.Context()))
    return tuple(
        (name, value)
        for name, value in written.items()
        if _NAME.fullmatch(name) and _VALUE.fullmatch(value) and name.lower() not in _TAKEN
    )


def end_span(span: Span | None, *, status: int | None = None, error: BaseException | None = None) -> None:
    """End it. Of an error, its type is told and not its text, in which a server has its say."""
    if span is None:
        return
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if error is not None:
        trace = sys.modules["opentelemetry.trace"]
        kind = str(status) if status is not None and status >= 400 else type(error).__qualname__
        span.set_attribute("error.type", kind)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _loaded(module: str, name: str) -> Any:
    """The module, if the program has it. Another thread may be importing it just now."""
    found = sys.modules.get(module)
    return found if hasattr(found, name) else None
