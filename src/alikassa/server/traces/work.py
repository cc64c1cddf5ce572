"""Spans of work that many requests share: joined reads, batches of the writer's.

Such a span is a child of the first of those requests that is traced, so that it is sampled with it, and is linked to
all of them; each of them is linked to it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.trace import Span, Tracer

    from alikassa.ledger.asking import Asker
    from alikassa.ledger.batch import Job

__all__ = ["WorkSpans", "fail", "nanoseconds"]

# What a batch does, in this order.
_STEPS = ("lock", "load", "decide", "write", "commit")


def nanoseconds(moment: float) -> int:
    """A moment of the monotonic clock in nanoseconds since 1970, as spans have it."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)


def fail(span: Span, error: BaseException) -> None:
    """By the error's type. Its text may hold anything."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


class WorkSpans:
    """Told of reads and batches when they are done; see `alikassa.ledger.counts`."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def ended(self, askers: Sequence[Asker], begun: float, rows: int | None, error: Exception | None) -> None:
        """A joined read."""
        told: dict[str, Any] = {"alikassa.requests": len(askers)}
        if rows is not None:
            told["alikassa.accounts"] = rows
        span = self._start("read balances", _spans(askers), begun, told, SpanKind.CLIENT)
        if span is not None:
            if error is not None:
                fail(span, error)
            span.end()

    def taken(self, jobs: Sequence[Job]) -> None:
        """These have waited for a batch, and wait no more."""
        for job in jobs:
            for waiting in _spans(job.askers):
                self._tracer.start_span(
                    "wait in queue", trace.set_span_in_context(waiting), start_time=nanoseconds(job.added)
                ).end()

    def batch(self, jobs: Sequence[Job], begun: float, marks: Sequence[float], error: BaseException | None) -> None:
        """One that is committed, or was given up. `marks` are when its steps ended, as far as it came."""
        told = {"alikassa.commands": sum(len(job.commands) for job in jobs)}
        askers = [asker for job in jobs for asker in job.askers]
        span = self._start("book", _spans(askers), begun, told)
        if span is None:
            return
        within = trace.set_span_in_context(span)
        start = begun
        for step, end in zip(_STEPS, marks, strict=False):
            self._tracer.start_span(step, within, start_time=nanoseconds(start)).end(nanoseconds(end))
            start = end
        if error is not None:
            if len(marks) < len(_STEPS):
                last = self._tracer.start_span(_STEPS[len(marks)], within, start_time=nanoseconds(start))
                fail(last, error)
                last.end()
            fail(span, error)
        span.end()

    def _start(
        self,
        name: str,
        spans: Sequence[Span],
        begun: float,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span | None:
        """None when it is for nobody who is traced."""
        if not spans:
            return None
        made = self._tracer.start_span(
            name,
            trace.set_span_in_context(spans[0]),
            kind=kind,
            attributes=attributes,
            links=[Link(span.get_span_context()) for span in spans],
            start_time=nanoseconds(begun),
        )
        for span in spans:
            span.add_link(made.get_span_context())
        return made


def _spans(askers: Iterable[Asker]) -> list[Span]:
    """Those that are recorded, and go on."""
    found: dict[int, Span] = {}
    for asker in askers:
        span: Any = asker.span
        if span is not None and span.is_recording():
            found[id(span)] = span
    return list(found.values())
