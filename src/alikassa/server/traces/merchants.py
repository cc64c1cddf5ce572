"""The merchants' application with a span around each balance request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from alikassa.protocol.messages import BALANCE_PATH
from alikassa.server.application import Application
from alikassa.server.balance import BalanceEndpoint
from alikassa.server.beat import AFTER_SECONDS
from alikassa.server.correlation import REQUEST_ID
from alikassa.server.requests.kept import Outcome
from alikassa.server.requests.recorder import Recorder
from alikassa.server.traces.incoming import context_of
from alikassa.server.traces.provider import Tracing
from alikassa.server.traces.work import WorkSpans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from opentelemetry.trace import Span

    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader, ActiveCertificate
    from alikassa.server.application import Exchange, Receiving, Scope
    from alikassa.server.balance import Asked
    from alikassa.server.limits.addresses import Addresses
    from alikassa.server.log import RequestLog
    from alikassa.server.requests.kept import Ended, KeptRequest
    from alikassa.server.requests.recorder import Key
    from alikassa.server.settings import Settings
    from alikassa.server.verification import Verified

__all__ = ["TracedApplication"]

_OUTCOME, _REASON = "alikassa.outcome", "alikassa.reason"
# When a refusal has been told, and a stop still waits for it.
_UNTIL_TOLD_SECONDS = 1.5 * AFTER_SECONDS


class TracedApplication(Application):
    """As `Application`. A request that is not sampled goes the same way as without traces."""

    def __init__(self, settings: Settings, log: RequestLog | None = None) -> None:
        super().__init__(settings, log)
        self._tracing = Tracing()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tracing.start()
        super().__rsgi_init__(loop)

    async def stop(self) -> None:
        await super().stop()
        await asyncio.to_thread(self._tracing.stop)

    def _new_recorder(self, addresses: Addresses) -> Recorder:
        return _TracedRecorder(addresses)

    def _new_endpoint(self, *parts: Any) -> BalanceEndpoint:
        return _TracedEndpoint(*parts)

    def serve_from(self, database: Database, reader: AccountReader) -> None:
        super().serve_from(database, reader)
        reader.counts.watches += (WorkSpans(self._tracing.tracer),)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        if scope.path != BALANCE_PATH:
            await super().__rsgi__(scope, exchange)
            return
        headers = scope.headers
        span = self._tracing.tracer.start_span(
            f"{scope.method} {BALANCE_PATH}" if scope.method == "POST" else "HTTP",
            context_of(headers.get_all("traceparent"), headers.get_all("tracestate")),
            kind=SpanKind.SERVER,
            attributes={"http.route": BALANCE_PATH, "alikassa.outcome": "gone"}
            | ({"http.request.method": "POST"} if scope.method == "POST" else {"http.request.method": "_OTHER"}),
        )
        if not span.is_recording():
            await super().__rsgi__(scope, exchange)
            return
        traced = _TracedExchange(exchange, span)
        try:
            await super().__rsgi__(_TracedScope(scope, span), traced)
        finally:
            # What became of it may be told after the answer, so as not to show in its time.
            asyncio.get_running_loop().call_later(_UNTIL_TOLD_SECONDS, span.end, time.time_ns())


class _TracedScope:
    """A request's, with its span."""

    __slots__ = ("client", "headers", "method", "path", "span")

    def __init__(self, scope: Scope, span: Span) -> None:
        self.method, self.path = scope.method, scope.path
        self.headers, self.client = scope.headers, scope.client
        self.span = span


class _TracedExchange:
    """Tells the span what is answered."""

    __slots__ = ("_exchange", "_span")

    def __init__(self, exchange: Exchange, span: Span) -> None:
        self._exchange = exchange
        self._span = span

    def __call__(self) -> Receiving:
        return self._exchange()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.__aiter__()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._exchange.response_bytes(status, headers, body)
        span = self._span
        span.set_attribute("http.response.status_code", status)
        # Recorded requests say more; those that are only counted are answered, or were too many of their kind.
        if status == 200:
            span.set_attribute(_OUTCOME, Outcome.OK.value)
        elif status in (404, 405):
            span.set_attribute(_OUTCOME, Outcome.MALFORMED.value)
        for name, value in headers:
            if name == REQUEST_ID:
                span.set_attribute("alikassa.request_id", value)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))


class _TracedRecorder(Recorder):
    """Tells each request's span what became of it."""

    def _add(
        self, key: Key, ended: Ended, status: int, reason: str, verified: Verified | None = None
    ) -> KeptRequest | None:
        span: Any = getattr(ended.scope, "span", None)
        if span is not None:
            span.set_attribute(_OUTCOME, key.outcome.value)
            if reason:
                span.set_attribute(_REASON, reason)
        return super()._add(key, ended, status, reason, verified)


class _TracedEndpoint(BalanceEndpoint):
    """Verifying a signature is a span of its own."""

    def _check(
        self, asked: Asked, certificates: Sequence[ActiveCertificate], signature: bytes, body: bytes
    ) -> Verified | None:
        begun = time.time_ns()
        verified = super()._check(asked, certificates, signature, body)
        span: Any = asked.span
        if span is not None:
            trace.get_tracer("alikassa.server").start_span(
                "verify signature", trace.set_span_in_context(span), start_time=begun
            ).end()
        return verified
