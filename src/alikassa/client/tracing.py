"""A span an attempt, where the program has OpenTelemetry."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Attempt", "end_span", "start_span"]


@dataclass(frozen=True)
class Attempt:
    """What a span says of an attempt. `resends` is how many came before it in this call."""

    url: str
    request_id: str
    resends: int


def start_span(attempt: Attempt) -> Span | None:
    """The span of an attempt, as a child of the program's current one, named as the HTTP conventions say.

    Nothing is imported: a program that has configured a tracer provider has imported `opentelemetry.trace` itself.
    None where it has not.
    """
    trace = sys.modules.get("opentelemetry.trace")
    # Another thread may be importing it just now.
    if trace is None or not hasattr(trace, "get_tracer"):
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
    tracer = trace.get_tracer("alikassa")
    span: Span = tracer.start_span("POST", kind=trace.SpanKind.CLIENT, attributes=attributes)
    return span


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
