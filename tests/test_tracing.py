"""Spans of OpenTelemetry, with its own SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as context_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_setter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from alikassa import AsyncClient, Client, NetworkError, RefusedError
from conftest import PAGE_ACCOUNT, openssl_sign
from wire_server import ok, respond, silence, wire_server


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[ReadableSpan]]]:
    """What was exported, as a program with a tracer provider would see it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The provider of the process can be set once only, and is not this test's to keep.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield lambda: list(exporter.get_finished_spans())
    provider.shutdown()


@pytest.fixture
def spans(exported: Callable[[], list[ReadableSpan]]) -> Callable[[], list[ReadableSpan]]:
    """Of attempts alone."""
    return lambda: [span for span in exported() if span.kind is SpanKind.CLIENT]


def ask(kind: str, keys: Path, base_url: str, **settings: Any) -> None:
    if kind == "sync":
        with Client(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
            client.balance()
        return

    async def run() -> None:
        async with AsyncClient(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
            await client.balance()

    asyncio.run(run())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
def test_an_attempt_is_a_client_span(kind: str, keys: Path, spans: Callable[[], list[ReadableSpan]]) -> None:
    """Named and described as the HTTP conventions say, in the program's own trace."""
    with wire_server() as server, trace.get_tracer("program").start_as_current_span("the program's") as outer:
        ask(kind, keys, server.url)
    (span,) = spans()
    assert span.name == "POST"
    assert (span.context or INVALID_SPAN_CONTEXT).trace_id == outer.get_span_context().trace_id
    told = dict(span.attributes or {})
    request_id = str(told.pop("alikassa.request_id"))
    assert request_id.encode() in server.requests[0]
    assert told == {
        "http.request.method": "POST",
        "url.full": server.url + "/v1/account/balance",
        "url.path": "/v1/account/balance",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "http.response.status_code": 200,
    }
    assert span.status.status_code is StatusCode.UNSET


@BOTH
def test_a_call_is_a_span_with_its_attempts_under_it(
    kind: str, keys: Path, exported: Callable[[], list[ReadableSpan]]
) -> None:
    """Under the program's own; without an error when an attempt succeeded, with its type when none did."""
    with wire_server(respond(503, b""), ok(), respond(400, b'{"message":"no","errors":{}}')) as server:
        with trace.get_tracer("program").start_as_current_span("the program's") as outer:
            ask(kind, keys, server.url)
        with pytest.raises(RefusedError):
            ask(kind, keys, server.url)
    calls = [span for span in exported() if span.name == "alikassa.balance"]
    attempts = [span.parent for span in exported() if span.kind is SpanKind.CLIENT]
    assert (calls[0].kind, calls[0].parent) == (SpanKind.INTERNAL, outer.get_span_context())
    assert attempts == [calls[0].context, calls[0].context, calls[1].context]
    told = [dict(call.attributes or {}) for call in calls]
    assert [len(str(one.pop("alikassa.request_id"))) for one in told] == [36, 36]
    assert told == [{}, {"error.type": "RefusedError"}]
    assert [call.status.status_code for call in calls] == [StatusCode.UNSET, StatusCode.ERROR]


@BOTH
def test_the_programs_propagator_is_used(kind: str, keys: Path, spans: Callable[[], list[ReadableSpan]]) -> None:
    """Its `traceparent` names the attempt's span. Baggage stays at home, and no header of the request's is replaced."""

    class Meddling(TraceContextTextMapPropagator):
        def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
            super().inject(carrier, context, setter)
            for name in ("sign", "Account", "X-Evil\r\nY"):
                setter.set(carrier, name, "evil")

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([Meddling(), W3CBaggagePropagator()]))
    token = context_api.attach(baggage.set_baggage("customer", "secret"))
    try:
        with wire_server(respond(503, b""), ok()) as server:
            ask(kind, keys, server.url)
    finally:
        context_api.detach(token)
        propagate.set_global_textmap(before)
    for request, span in zip(server.requests, spans(), strict=True):
        assert span.context is not None
        expected = f"traceparent: 00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
        assert expected.encode() in request
        assert b"evil" not in request
        assert b"secret" not in request


def test_without_a_propagator_no_header_is_sent(
    keys: Path, spans: Callable[[], list[ReadableSpan]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that traces and has loaded none tells the server nothing."""
    monkeypatch.delitem(sys.modules, "opentelemetry.propagate")
    with wire_server() as server:
        ask("sync", keys, server.url)
    assert len(spans()) == 1
    assert b"traceparent" not in server.requests[0].lower()


@BOTH
def test_a_retry_is_a_span_with_its_number(kind: str, keys: Path, spans: Callable[[], list[ReadableSpan]]) -> None:
    """The failed attempt has the status as its error; the next one says that it is the first resend."""
    with wire_server(respond(503, b""), ok()) as server:
        ask(kind, keys, server.url)
    first, second = [dict(span.attributes or {}) for span in spans()]
    assert (first["http.response.status_code"], first["error.type"]) == (503, "503")
    assert "http.request.resend_count" not in first
    assert (second["http.request.resend_count"], "error.type" in second) == (1, False)
    assert first["alikassa.request_id"] == second["alikassa.request_id"]
    assert [span.status.status_code for span in spans()] == [StatusCode.ERROR, StatusCode.UNSET]


@BOTH
def test_an_attempt_without_an_answer_names_its_error(
    kind: str, keys: Path, spans: Callable[[], list[ReadableSpan]], unused_port: int
) -> None:
    """Nobody listens: the span has the error's type and no status."""
    with pytest.raises(NetworkError):
        ask(kind, keys, f"http://127.0.0.1:{unused_port}", attempts=1)
    (span,) = spans()
    told = span.attributes or {}
    assert told["error.type"] == "NetworkError"
    assert "http.response.status_code" not in told


def test_a_cancelled_call_leaves_no_span_open(keys: Path, spans: Callable[[], list[ReadableSpan]]) -> None:
    """Cancelled by the program, the attempt's span is ended."""

    async def run(url: str) -> None:
        async with AsyncClient(PAGE_ACCOUNT, keys, base_url=url) as client:
            await asyncio.wait_for(client.balance(), 0.2)

    with wire_server(silence(2)) as server, pytest.raises(TimeoutError):
        asyncio.run(run(server.url))
    assert [(span.attributes or {})["error.type"] for span in spans()] == ["CancelledError"]


def test_spans_hold_no_secret(keys: Path, spans: Callable[[], list[ReadableSpan]]) -> None:
    """Not `Sign`, also when the server repeats it, and not what the server wrote."""
    sign = openssl_sign(keys, b"{}")
    body = b'{"message":"' + sign.encode() + b'","errors":{}}'
    with wire_server(respond(400, body)) as server, pytest.raises(RefusedError):
        ask("sync", keys, server.url)
    (span,) = spans()
    assert sign[:20] not in span.to_json()
    assert "message" not in span.to_json()


def test_a_program_without_opentelemetry_loads_none(keys: Path) -> None:
    """A call imports nothing of it."""
    program = (
        "import sys; from alikassa import Client\n"
        "with Client(sys.argv[1], sys.argv[2], base_url=sys.argv[3]) as client: client.balance()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    with wire_server() as server:
        done = subprocess.run(
            [sys.executable, "-c", program, PAGE_ACCOUNT, keys, server.url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("[]\n", "")
