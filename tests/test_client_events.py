"""What a program is told of its calls: events, log lines, ids."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from alikassa import (
    AsyncClient,
    AttemptFailed,
    Client,
    ConfigurationError,
    Event,
    Incoming,
    NetworkError,
    Outgoing,
    RefusedError,
    RequestAnswered,
    RequestStarted,
    ServerError,
)
from conftest import PAGE_ACCOUNT, PAGE_ANSWER
from wire_server import drip, ok, respond, wire_server


class Ask(Protocol):
    def __call__(self, base_url: str, **settings: Any) -> None: ...


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, archives: Callable[[str], Path]) -> Ask:
    keys = archives("payout")

    def ask_sync(base_url: str, **settings: Any) -> None:
        with Client(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
            client.balance()

    def ask_async(base_url: str, **settings: Any) -> None:
        async def run() -> None:
            async with AsyncClient(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
                await client.balance()

        asyncio.run(run())

    return ask_sync if request.param == "sync" else ask_async


def test_a_call_is_told_from_start_to_end(ask: Ask) -> None:
    """Started, each failed attempt with the wait after it, answered: in this order, under one id."""
    events: list[Event] = []
    with wire_server(respond(503, b""), respond(200, PAGE_ANSWER, X_Request_Id="theirs")) as server:
        ask(server.url, on_event=events.append)
    started, failed, answered = events
    assert started == RequestStarted(started.request_id, PAGE_ACCOUNT, server.url + "/v1/account/balance")
    assert isinstance(failed, AttemptFailed)
    assert isinstance(failed.error, ServerError)
    assert failed.wait is not None
    assert isinstance(answered, RequestAnswered)
    assert (failed.attempt, answered.attempts, answered.status) == (1, 2, 200)
    assert answered.seconds >= failed.seconds + failed.wait
    assert answered.server_request_id == "theirs"
    assert {event.request_id for event in events} == {started.request_id}
    assert all(f"X-Request-Id: {started.request_id}".encode() in request for request in server.requests)


def test_the_last_failure_is_the_error_that_is_raised(ask: Ask) -> None:
    """It has no wait, and the event's error is the caller's."""
    events: list[Event] = []
    with wire_server(respond(400, b'{"message":"no"}')) as server, pytest.raises(RefusedError) as caught:
        ask(server.url, on_event=events.append)
    last = events[-1]
    assert isinstance(last, AttemptFailed)
    assert (last.error, last.wait) == (caught.value, None)
    assert len(events) == 2


@pytest.mark.parametrize("seconds", [{"timeout": 0.3}, {"attempt_timeout": 0.3, "attempts": 1}])
def test_time_that_ran_out_is_told_too(ask: Ask, seconds: dict[str, Any]) -> None:
    """The end of the time, the call's or the attempt's, is an attempt's failure, with the call's id."""
    events: list[Event] = []
    with wire_server(drip(b"HTTP/1.1 200 OK\r\n", 0.1)) as server, pytest.raises(NetworkError) as caught:
        ask(server.url, on_event=events.append, **seconds)
    last = events[-1]
    assert isinstance(last, AttemptFailed)
    assert last.error is caught.value
    assert caught.value.request_id == last.request_id


def test_a_hook_that_raises_breaks_no_call(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """The call goes on; a warning says it, once."""

    def hook(event: Event) -> None:
        raise RuntimeError("a defect of the hook")

    with wire_server(respond(503, b""), ok()) as server:
        ask(server.url, on_event=hook)
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (warning.name, warning.exc_info is not None) == ("alikassa", True)


def test_a_hook_must_be_callable(ask: Ask) -> None:
    """Told at construction."""
    with pytest.raises(ConfigurationError, match="on_event"):
        ask("http://127.0.0.1:1", on_event="log")


def test_retries_are_logged_as_info_and_the_rest_as_debug(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """The logger `alikassa`, with the call's id in every line, and nothing that the server wrote."""
    caplog.set_level(logging.DEBUG, "alikassa")
    with wire_server(respond(503, b'{"message":"what a server writes"}'), ok()) as server:
        ask(server.url)
    records = [record for record in caplog.records if record.name == "alikassa"]
    assert [record.levelname for record in records] == ["DEBUG", "INFO", "DEBUG"]
    lines = [record.getMessage() for record in records]
    assert len({line.split(":")[0] for line in lines}) == 1
    assert "ServerError (503)" in lines[1]
    assert "what a server writes" not in "".join(lines)
    assert "93.84" not in "".join(lines)


# A transport of one's own


class Recorded:
    """Answers without a network."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        self.sent.append(outgoing)
        return Incoming(200, {}, PAGE_ANSWER)

    def close(self) -> None:
        """Nothing is open."""


class AsyncRecorded:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    async def send(self, outgoing: Outgoing, /) -> Incoming:
        self.sent.append(outgoing)
        return Incoming(200, {}, PAGE_ANSWER)

    async def close(self) -> None:
        """Nothing is open."""


def test_a_transport_of_ones_own_carries_the_request(archives: Callable[[str], Path]) -> None:
    """It is handed the address, the headers, the covered `Sign` and the body."""
    transport = Recorded()
    with Client(PAGE_ACCOUNT, archives("payout"), transport=transport) as client:
        assert client.balance().raw == PAGE_ANSWER
    (sent,) = transport.sent
    assert sent.url == "https://api-merchant.alikassa.com/v1/account/balance"
    assert dict(sent.headers)["Account"] == PAGE_ACCOUNT
    assert sent.body == b"{}"
    assert sent.sign.reveal() not in repr(sent)


def test_an_async_transport_of_ones_own_carries_the_request(archives: Callable[[str], Path]) -> None:
    """As the synchronous one."""
    transport = AsyncRecorded()

    async def run() -> bytes:
        async with AsyncClient(PAGE_ACCOUNT, archives("payout"), transport=transport) as client:
            return (await client.balance()).raw

    assert asyncio.run(run()) == PAGE_ANSWER
    assert len(transport.sent) == 1


@pytest.mark.parametrize("setting", [{"http2": True}, {"proxy": "http://127.0.0.1:1"}, {"ca_bundle": "ca.pem"}])
def test_a_transport_of_ones_own_takes_no_settings_of_ours(
    archives: Callable[[str], Path], setting: dict[str, Any]
) -> None:
    """They would be of no effect, and a CA bundle that has none is not to be believed in."""
    with pytest.raises(ConfigurationError, match="would do nothing"):
        Client(PAGE_ACCOUNT, archives("payout"), transport=Recorded(), **setting)
