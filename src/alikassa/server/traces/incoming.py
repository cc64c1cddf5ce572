"""The caller's trace, from the headers of its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from alikassa.server.correlation import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["context_of"]

_LONGEST_STATE = 512
_W3C = TraceContextTextMapPropagator()


def context_of(traceparent: Sequence[str], tracestate: Sequence[str]) -> Context:
    """The parent of a request's span. Only W3C's headers are looked at; baggage would be a stranger's words in our
    traces."""
    if not trace_id_of(traceparent):
        return Context()
    carrier = {"traceparent": traceparent[0]}
    if len(tracestate) == 1 and len(tracestate[0]) <= _LONGEST_STATE:
        carrier["tracestate"] = tracestate[0]
    return _W3C.extract(carrier, Context())
