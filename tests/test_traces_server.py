"""Spans of the server, with OpenTelemetry's own SDK: who waited for what, across joined reads and batches."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON
from opentelemetry.trace import SpanKind, StatusCode

from alikassa.errors import ConfigurationError
from alikassa.ledger.asking import ASKING
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.reader import reader_for
from alikassa.server.correlation import Correlation, trace_id_of
from alikassa.server.settings import Settings
from alikassa.server.traces.merchants import TracedApplication
from alikassa.server.traces.provider import check_tracing
from alikassa.server.traces.work import WorkSpans
from conftest import PAGE_ACCOUNT, Shop, signed
from operator_server import operator_here
from raw_http import PATH

pytestmark = pytest.mark.anyio

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Exported:
    """What was exported, by name."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def exported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    """As a process with a provider sees it; with a sampler if the test names one."""
    found = Exported()
    provider = TracerProvider(sampler=getattr(request, "param", DEFAULT_ON))
    provider.add_span_processor(SimpleSpanProcessor(found.exporter))
    # The provider of the process can be set once only, and is not this test's to keep.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield found
    provider.shutdown()


class Sent:
    """Headers as the web server gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = {name.lower(): value for name, value in headers.items()}

    def get(self, name: str) -> str | None:
        return self._headers.get(name)

    def __contains__(self, name: str, /) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str, /) -> list[str]:
        return [self._headers[name]] if name in self._headers else []


class Exchange:
    """One request as the web server has it."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status = 0
        self.headers: dict[str, str] = {}

    def __call__(self) -> asyncio.Future[bytes | None]:
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        future.set_result(self._body)
        return future

    def response_bytes(self, status: int, headers: list[tuple[str, str]], _body: bytes) -> None:
        self.status, self.headers = status, dict(headers)


async def ask(application: TracedApplication, headers: dict[str, str], body: bytes = b"{}") -> Exchange:
    exchange = Exchange(body)
    scope = SimpleNamespace(
        method="POST", path=PATH, headers=Sent(headers | {"content-length": str(len(body))}), client="192.0.2.7:1"
    )
    await application.__rsgi__(scope, exchange)  # type: ignore[arg-type] # as far as it is used
    await asyncio.sleep(0)
    return exchange


async def application_over(database: str) -> TracedApplication:
    application = TracedApplication(Settings(database))
    application._tracing.start()
    opened = Database.attach(database)
    application.serve_from(opened, reader_for(opened))
    return application


def ids(spans: list[ReadableSpan]) -> set[int]:
    return {one.context.span_id for one in spans if one.context is not None}


def links(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_three_requests_share_one_read(shop: Shop, exported: Exported) -> None:
    """Each a server span in its caller's trace; the read is linked to all three, and they to it."""
    application = await application_over(shop.database)
    headers = signed(shop.payout, b"{}")
    parents = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2, 3)]
    answers = await asyncio.gather(*[ask(application, headers | {"traceparent": one}) for one in parents])
    await application.stop()
    assert [one.status for one in answers] == [200, 200, 200]
    requests = exported.named("POST /v1/account/balance")
    (read,) = exported.named("read balances")
    assert {(one.parent.trace_id, one.parent.span_id) for one in requests if one.parent} == {(1, 1), (2, 2), (3, 3)}
    assert {one.kind for one in requests} == {SpanKind.SERVER}
    assert links(read) == ids(requests)
    assert told(read) == {"alikassa.requests": 3, "alikassa.accounts": 1}
    assert read.parent is not None
    assert read.parent.span_id in ids(requests)
    assert [links(one) for one in requests] == [ids([read])] * 3
    verified = exported.named("verify signature")
    assert {one.parent.span_id for one in verified if one.parent} <= ids(requests)
    assert verified
    for one in requests:
        said = told(one)
        assert (said["alikassa.outcome"], said["http.response.status_code"]) == ("ok", 200)
        assert one.status.status_code is StatusCode.UNSET


async def test_a_refusal_says_why_as_far_as_it_is_known(shop: Shop, exported: Exported) -> None:
    """And has the answer's id; nothing of the signature, nor the account."""
    application = await application_over(shop.database)
    headers = signed(shop.payout, b"{}")
    malformed = await ask(application, headers | {"Account": "no"})
    refused = await ask(application, headers, b"[]")
    await application.stop()
    first, second = (told(one) for one in exported.named("POST /v1/account/balance"))
    assert (first["alikassa.outcome"], first["alikassa.reason"]) == ("malformed", "malformed:account")
    assert (second["alikassa.outcome"], "alikassa.reason" in second) == ("refused", False)
    assert [first["alikassa.request_id"], second["alikassa.request_id"]] == [
        malformed.headers["x-request-id"],
        refused.headers["x-request-id"],
    ]
    text = "".join(span.to_json() for span in exported.exporter.get_finished_spans())
    assert headers["Sign"][:20] not in text
    assert PAGE_ACCOUNT not in text


async def test_a_read_that_fails_is_an_error(sqlite_shop: Shop, exported: Exported) -> None:
    """Of the read, by its type, and of the request, by its status."""
    application = await application_over(sqlite_shop.database)
    file = Path(sqlite_shop.database.removeprefix("sqlite:///"))
    file.rename(file.with_suffix(".away"))
    assert (await ask(application, signed(sqlite_shop.payout, b"{}"))).status == 503
    file.with_suffix(".away").rename(file)
    await application.stop()
    (request,), (read,) = exported.named("POST /v1/account/balance"), exported.named("read balances")
    assert (read.status.status_code, told(read)["error.type"]) == (StatusCode.ERROR, "DatabaseMissingError")
    assert (request.status.status_code, told(request)["error.type"]) == (StatusCode.ERROR, "503")
    assert told(request)["alikassa.outcome"] == "unavailable"
    assert not read.events


@pytest.mark.parametrize("exported", [ALWAYS_OFF], indirect=True)
async def test_what_is_not_sampled_is_not_exported(shop: Shop, exported: Exported) -> None:
    """Not the request, and not what it shared."""
    application = await application_over(shop.database)
    assert (await ask(application, signed(shop.payout, b"{}"))).status == 200
    await application.stop()
    assert not exported.exporter.get_finished_spans()


async def test_three_commands_share_one_batch(shop: Shop, exported: Exported) -> None:
    """From each request to its wait in the queue, and to the batch that is linked to all; its steps tell the time."""
    tracer = trace.get_tracer("test")
    async with Database.attach(shop.database) as database:
        books = Books(database)
        books.counts.watches += (WorkSpans(tracer),)

        async def book(name: str) -> None:
            with tracer.start_as_current_span(f"request {name}") as span:
                ASKING.set((Correlation((), span),))
                await books.book(Adjustment(uuid.UUID(PAGE_ACCOUNT), Bucket.BALANCE, 10**8, name, "a reason"))

        await asyncio.gather(*[asyncio.create_task(book(name)) for name in "abc"])
    requests = [span for name in "abc" for span in exported.named(f"request {name}")]
    (batch,) = exported.named("book")
    assert links(batch) == ids(requests)
    assert batch.parent is not None
    assert batch.parent.span_id in ids(requests)
    assert told(batch) == {"alikassa.commands": 3}
    assert [links(one) for one in requests] == [ids([batch])] * 3
    waits = exported.named("wait in queue")
    assert {one.parent.span_id for one in waits if one.parent} == ids(requests)
    steps = [span for name in ("lock", "load", "decide", "write", "commit") for span in exported.named(name)]
    assert len(steps) == 5
    assert {one.parent.span_id for one in steps if one.parent} == ids([batch])
    times = [(one.start_time or 0, one.end_time or 0) for one in steps]
    assert all(start <= end for start, end in times)
    assert all(before[1] <= after[0] + 1_000_000 for before, after in pairwise(times))
    assert "a reason" not in "".join(span.to_json() for span in exported.exporter.get_finished_spans())


def test_the_operators_requests_and_sweeps_are_spans(
    sqlite_url: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by route; a command's has its wait and its batch under it; a sweep is one by itself."""
    monkeypatch.setattr("operator_server.Settings", lambda url, **more: Settings(url, traces=True, **more))
    with operator_here(sqlite_url) as operator:
        account = operator.open_account()
        operator.done(f"{account}/payment", {"reference": "p", "amount": "10.00"})
        assert operator.get("/nowhere").status == 404
    assert exported.named("sweep")
    (payment,) = exported.named("POST /operator/v1/accounts/{account}/payment")
    assert payment.kind is SpanKind.SERVER
    (wait,), (batch,) = exported.named("wait in queue"), exported.named("book")
    assert wait.parent is not None
    assert {wait.parent.span_id} == ids([payment]) == links(batch)
    assert links(payment) >= ids([batch])
    (lost,) = exported.named("GET")
    assert told(lost)["http.response.status_code"] == 404


@pytest.mark.parametrize(
    ("exporter", "remedy"), [("", "Set OTEL_TRACES_EXPORTER"), ("nothing", "Install its package"), ("otlp", "otlp")]
)
def test_traces_that_go_nowhere_are_refused(exporter: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
    with pytest.raises(ConfigurationError) as raised:
        check_tracing()
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        PARENT.upper(),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"{PARENT}-more",
        f"01-{TRACE}-b7ad6b7169203331-01-{'x' * 300}",
        f"{PARENT}\n",
        f"00-{TRACE[:-1]}²-b7ad6b7169203331-01",
    ],
)
def test_what_is_no_trace_context_is_passed_over(value: str) -> None:
    """By the W3C's rules; what is too long is not looked at."""
    assert trace_id_of([value]) == ""


def test_a_trace_context_is_one_header() -> None:
    """Of this version, or of a later one with more to it."""
    assert trace_id_of([PARENT]) == TRACE
    assert trace_id_of([f"01-{TRACE}-b7ad6b7169203331-01-more"]) == TRACE
    assert trace_id_of([PARENT, PARENT]) == ""
    assert trace_id_of([]) == ""
