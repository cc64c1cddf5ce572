"""Everything that a client says, searched for what must never be said."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from alikassa import AlikassaError, AsyncClient, Client, Event
from conftest import PAGE_ACCOUNT, free_port, openssl_sign
from https_server import HttpsServer, Script, breaks_off, gives, https_server, says, waits

SCRIPTS: dict[str, tuple[Script, ...]] = {
    "answered": (gives(),),
    "answered at the second attempt": (says(503), gives()),
    "refused": (says(400, b'{"message":"no","errors":{"sign":["bad"]}}'),),
    "limited": (says(429, b"{}", retry_after="60"),),
    "failed": (says(500),),
    "junk": (gives(b"<html>"),),
    "broken off": (breaks_off,),
    "silent": (waits(2),),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https"), free_port()) as running:
        yield running


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What all libraries log at their most talkative, arguments included."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name} {record.getMessage()} {record.args!r}")

    root, handler = logging.getLogger(), Keep(level=0)
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def secrets_of(keys: Path) -> dict[str, str]:
    """By what each is: pieces of `Sign`, of the signature's bytes in other spellings, of the key and its passphrase."""
    sign = openssl_sign(keys, b"{}")
    signature = base64.b64decode(sign)
    lines = [line for line in (keys / "private.pem").read_text().splitlines() if len(line) > 40 and "-----" not in line]
    return {
        "Sign, its start": sign[:24],
        "Sign, its end": sign[-24:],
        "the signature in hex": signature.hex()[:32],
        "the signature as Python's bytes": repr(signature[:16])[2:-1],
        "the passphrase": (keys / "password.txt").read_text(),
        "the key, its first line": lines[0],
        "the key, its last line": lines[-1],
    }


def told(error: BaseException) -> str:
    """A traceback with all variables, but for those of the test's own frames, whose business is the secrets."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    pending: list[traceback.TracebackException | None] = [found]
    while pending:
        one = pending.pop()
        if one is not None:
            one.stack = traceback.StackSummary.from_list([frame for frame in one.stack if frame.filename != __file__])
            pending += [one.__cause__, one.__context__]
    return "".join(found.format()) + f"{error!r} {vars(error)!r}"


@pytest.mark.parametrize("what", SCRIPTS)
@pytest.mark.parametrize("kind", ["sync-1.1", "sync-2", "async-1.1", "async-2"])
def test_no_secret_is_shown_anywhere(
    kind: str,
    what: str,
    archives: Callable[[str], Path],
    server: HttpsServer,
    spans: InMemorySpanExporter,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Printed, logged by any library, raised, represented, traced, told to a hook: none of it holds one."""
    keys = archives("payout")
    secrets = secrets_of(keys)
    events: list[Event] = []
    shown: list[str] = []
    settings: dict[str, Any] = {
        "base_url": server.url,
        "ca_bundle": server.ca,
        "http2": kind.endswith("2"),
        "timeout": 0.7,
        "attempts": 2,
        "on_event": events.append,
    }
    server.will(*SCRIPTS[what])

    async def ask() -> None:
        async with AsyncClient(PAGE_ACCOUNT, keys, **settings) as client:
            shown.append(_represented(client))
            await client.balance()
            shown.append(_represented(client))

    try:
        if kind.startswith("async"):
            asyncio.run(ask())
        else:
            with Client(PAGE_ACCOUNT, keys, **settings) as client:
                shown.append(_represented(client))
                client.balance()
                shown.append(_represented(client))
    except AlikassaError as error:
        shown += [told(error), error.remedy]
        assert what not in ("answered", "answered at the second attempt")
    shown += [repr(event) for event in events] + [span.to_json() for span in spans.get_finished_spans()]
    shown += [*logged, *capfd.readouterr()]
    everything = "\n".join(shown)
    assert server.asked[0].headers["sign"].startswith(secrets["Sign, its start"]), "the test must know the real Sign"
    assert all(needed in everything for needed in ("httpcore2", "request ", "RequestStarted", "http.request.method"))
    assert [name for name, secret in secrets.items() if secret in everything] == []


def _represented(client: Client | AsyncClient) -> str:
    """The client and all of ours that it is made of, with their attributes."""
    parts: list[object] = [client]
    shown = []
    for part in parts:
        shown.append(repr(part))
        if type(part).__module__.startswith("alikassa") and hasattr(part, "__dict__"):
            shown.append(repr(vars(part)))
            parts += [inner for inner in vars(part).values() if not any(inner is one for one in parts)]
    return "\n".join(shown)
