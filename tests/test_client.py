"""The client, sync and async, against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest

from alikassa import (
    AlikassaError,
    AsyncClient,
    Balance,
    Client,
    ConfigurationError,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerError,
)
from alikassa.errors import InsufficientFundsError
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, openssl_sign
from wire_server import drip, hang_up, ok, raw, respond, silence, wire_server

REFUSAL = b'{"message":"The given data was invalid.","errors":{"sign":["does not match"]}}'


class Ask(Protocol):
    """One question by a client with these settings, to a server at `base_url`."""

    def __call__(self, base_url: str, **settings: Any) -> Balance: ...


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, keys: Path) -> Ask:
    """The same tests for both clients."""

    def ask_sync(base_url: str, **settings: Any) -> Balance:
        with Client(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
            return client.balance()

    def ask_async(base_url: str, **settings: Any) -> Balance:
        async def run() -> Balance:
            async with AsyncClient(PAGE_ACCOUNT, keys, base_url=base_url, **settings) as client:
                return await client.balance()

        return asyncio.run(run())

    return ask_sync if request.param == "sync" else ask_async


def test_balance_is_exact_and_keeps_the_raw_answer(ask: Ask) -> None:
    """The four amounts are Decimals equal to the wire's, and the body is kept as it came."""
    with wire_server() as server:
        found = ask(server.url)
    assert found == Balance("RUB", Decimal("93.84"), Decimal(0), Decimal(0), Decimal(1234), PAGE_ANSWER)
    assert found.raw == PAGE_ANSWER


@pytest.mark.parametrize(("body", "digest"), [("{}", "sha256"), ("[]", "sha1"), ("null", "sha256")])
def test_request_is_the_contracts(ask: Ask, keys: Path, body: str, digest: str) -> None:
    """POST to the page's address with its three headers; `Sign` is openssl's over exactly the bytes sent."""
    with wire_server() as server:
        ask(server.url, body=body, digest=digest)
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
    assert line == "POST /v1/account/balance HTTP/1.1"
    assert sent == body.encode()
    assert fields["sign"] == openssl_sign(keys, body.encode(), digest)
    assert (fields["account"], fields["content-type"]) == (PAGE_ACCOUNT, "application/json")
    assert fields["content-length"] == str(len(body))


def test_refusal_carries_the_servers_words(ask: Ask) -> None:
    """A 400 is a RefusedError with each field's messages, asked once: repeating it would not help."""
    with wire_server(respond(400, REFUSAL)) as server, pytest.raises(RefusedError, match="does not match") as caught:
        ask(server.url)
    assert (caught.value.errors, caught.value.status) == ({"sign": ("does not match",)}, 400)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_failures_are_tried_again(ask: Ask, status: int) -> None:
    """A 5xx passes by itself: the second answer counts."""
    with wire_server(respond(status, b"oops"), ok()) as server:
        assert ask(server.url).balance == Decimal("93.84")
    assert len(server.requests) == 2


def test_server_failures_are_not_tried_for_ever(ask: Ask) -> None:
    """After the last attempt the server's failure is told."""
    with wire_server(respond(503, b"oops")) as server, pytest.raises(ServerError) as caught:
        ask(server.url, attempts=2)
    assert (caught.value.status, caught.value.retryable, len(server.requests)) == (503, True, 2)


@pytest.mark.parametrize(
    "script", [hang_up, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), raw(b"junk\r\n\r\n")]
)
def test_broken_connections_are_tried_again(ask: Ask, script: Any) -> None:
    """A connection that ends without a whole answer is no answer; asking again is safe."""
    with wire_server(script, ok()) as server:
        assert ask(server.url).currency == "RUB"
    assert len(server.requests) == 2


def test_nobody_listening_is_a_network_error(ask: Ask, unused_port: int) -> None:
    """The error names the host and is one that may pass."""
    with pytest.raises(NetworkError, match=f"127.0.0.1:{unused_port}") as caught:
        ask(f"http://127.0.0.1:{unused_port}", attempts=1)
    assert caught.value.retryable
    assert not isinstance(caught.value, DeadlineExceededError)


@pytest.mark.by_the_clock
def test_retry_after_is_obeyed(ask: Ask) -> None:
    """A 429 that names a time is tried again after that time, not before."""
    with wire_server(respond(429, b"{}", Retry_After="1"), ok()) as server:
        started = time.monotonic()
        ask(server.url)
    assert 1 <= time.monotonic() - started < 3
    assert len(server.requests) == 2


@pytest.mark.by_the_clock
def test_retry_after_beyond_the_deadline_is_told_at_once(ask: Ask) -> None:
    """When the server wants more time than the call has, waiting would be in vain."""
    started = time.monotonic()
    with wire_server(respond(429, b"{}", Retry_After="60")) as server, pytest.raises(RateLimitedError) as caught:
        ask(server.url, timeout=5)
    assert caught.value.retry_after == 60
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 413])
def test_other_statuses_are_told_and_not_tried_again(ask: Ask, status: int) -> None:
    """No redirect is followed with a signed request, and what will not pass is not repeated."""
    with (
        wire_server(respond(status, b'{"message":"no"}', Location="http://127.0.0.1:1/")) as server,
        pytest.raises(ServerError) as caught,
    ):
        ask(server.url)
    assert (caught.value.status, caught.value.retryable, len(server.requests)) == (status, False, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"currency":"RUB","balance":"NaN"}',
        b"x" * 100_000,
        PAGE_ANSWER[:-1] + b',"balance":"1000000.00000000"}',
        PAGE_ANSWER[:-1] + rb',"b\u0061lance":"1000000.00000000"}',
        PAGE_ANSWER[:-1] + b',"currency":"USD"}',
    ],
)
def test_an_answer_that_is_none_is_a_protocol_error(ask: Ask, body: bytes) -> None:
    """A 200 with something else in it is told, with the start of what came; it is never half believed."""
    with wire_server(ok(body)) as server, pytest.raises(ProtocolError) as caught:
        ask(server.url)
    assert body.startswith(caught.value.raw)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 126\r\n\r\n" + PAGE_ANSWER


@pytest.mark.by_the_clock
@pytest.mark.parametrize("script", [drip(ANSWER, 0.15), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 999, 0.15), silence(9)])
def test_no_server_can_stretch_the_deadline(ask: Ask, script: Any) -> None:
    """Whether it drips headers, drips a body or says nothing: the call ends when its time is over."""
    started = time.monotonic()
    with wire_server(script) as server, pytest.raises(DeadlineExceededError, match=r"within 0\.5 s"):
        ask(server.url, timeout=0.5)
    assert 0.4 < time.monotonic() - started < 2.5


@pytest.mark.by_the_clock
def test_waiting_to_try_again_does_not_outlast_the_deadline(ask: Ask, unused_port: int) -> None:
    """When there is no time left for another try, the last error is told instead of sleeping past the end."""
    started = time.monotonic()
    with pytest.raises(NetworkError):
        ask(f"http://127.0.0.1:{unused_port}", timeout=0.5, attempts=50)
    assert time.monotonic() - started < 0.9


def test_what_went_wrong_before_the_deadline_is_kept(ask: Ask) -> None:
    """A 503, then silence: the deadline's error has the server's failure in its chain."""
    with wire_server(respond(503, b""), silence(9)) as server, pytest.raises(DeadlineExceededError) as caught:
        ask(server.url, timeout=0.8)
    assert isinstance(caught.value.__cause__, ServerError)


def test_a_503_may_name_its_time_too(ask: Ask) -> None:
    """Retry-After is obeyed on 5xx as on 429."""
    with wire_server(respond(503, b"", Retry_After="1"), ok()) as server:
        started = time.monotonic()
        ask(server.url)
    assert time.monotonic() - started >= 1


def test_nothing_is_printed(ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    """A library does not write to the program's stdout or stderr, not when it tries again either."""
    with wire_server(respond(503, b""), ok()) as server:
        ask(server.url)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("more", [b',"of":{"balance":"1","hold":"2"}', rb',"n\u0061me":"x"', b',"a":1,"a":2'])
def test_a_fields_name_elsewhere_is_no_second_one(ask: Ask, more: bytes) -> None:
    """In an object of a field that is not known, or beside a name that is escaped, it says nothing of the balance."""
    with wire_server(ok(PAGE_ANSWER[:-1] + more + b"}")) as server:
        assert ask(server.url).balance == Decimal("93.84")


def test_an_async_client_outlives_its_event_loop(keys: Path) -> None:
    """Asked from a second event loop, it opens new connections there."""
    with wire_server() as server:
        client = AsyncClient(PAGE_ACCOUNT, keys, base_url=server.url)
        for _ in range(2):
            found = asyncio.run(_ask_and_close(client))
            assert found.currency == "RUB"


def test_an_async_client_may_be_closed_in_another_event_loop(keys: Path) -> None:
    """The connections of a loop that has ended cannot be closed in this one: that is no error."""
    with wire_server() as server, warnings.catch_warnings():
        # asyncio's, about a connection that its loop left open.
        warnings.simplefilter("ignore", ResourceWarning)
        client = AsyncClient(PAGE_ACCOUNT, keys, base_url=server.url)
        asyncio.run(client.balance())
        asyncio.run(client.close())
        gc.collect()


async def _ask_and_close(client: AsyncClient) -> Balance:
    async with client:
        return await client.balance()


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("no", errors={"sign": ["bad"]}),
        ServerError("down", status=503, retry_after=2),
        InsufficientFundsError(bucket="hold", asked="2", available="1", currency="RUB"),
        ProtocolError("junk", raw=b"x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_other_processes(error: AlikassaError) -> None:
    """Pickled and back, an error says the same and carries the same."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_signer_that_gives_no_bytes_is_told() -> None:
    """A signer of somebody's own making that returns base64 text is a configuration error."""

    class Signer:
        def sign(self, data: bytes, /) -> bytes:
            return "c2ln"  # type: ignore[return-value]

    with Client(PAGE_ACCOUNT, Signer(), base_url="http://127.0.0.1:1") as client, pytest.raises(ConfigurationError):
        client.balance()


@pytest.mark.by_the_clock
def test_the_deadline_covers_all_attempts(ask: Ask) -> None:
    """Retries share the call's time instead of adding to it."""
    started = time.monotonic()
    with wire_server(respond(503, b"")) as server, pytest.raises(AlikassaError):
        ask(server.url, timeout=0.5, attempts=1000)
    assert time.monotonic() - started < 2.5


def test_one_connection_and_one_signature_serve_many_calls(keys: Path) -> None:
    """The key signs once, and the connection is kept."""
    calls = []

    class Signer:
        def sign(self, data: bytes, /) -> bytes:
            calls.append(data)
            return b"signature"

    with wire_server() as server, Client(PAGE_ACCOUNT, Signer(), base_url=server.url) as client:
        for _ in range(5):
            client.balance()
    assert (calls, server.connections, len(server.requests)) == ([b"{}"], 1, 5)


def test_threads_share_a_client(keys: Path) -> None:
    """Two hundred threads on one client each get the whole answer."""
    found: list[Balance] = []
    with wire_server() as server, Client(PAGE_ACCOUNT, keys, base_url=server.url) as client:
        threads = [threading.Thread(target=lambda: found.append(client.balance())) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 200
    assert {one.raw for one in found} == {PAGE_ANSWER}


@pytest.mark.by_the_clock
def test_a_call_may_have_its_own_timeout(keys: Path) -> None:
    """`balance(timeout=...)` goes before the client's own."""
    with wire_server(silence(9)) as server, Client(PAGE_ACCOUNT, keys, base_url=server.url) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            client.balance(timeout=0.3)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"account": "93d5df06"}, "not the uuid"),
        ({"account": "{93d5df06-996c-48c3-9847-348d6b580b80}"}, "not the uuid"),
        ({"base_url": "http://example.com"}, "plain http"),
        ({"base_url": "ftp://127.0.0.1"}, "not understood"),
        ({"base_url": "https://user:pass@127.0.0.1"}, "not understood"),
        ({"base_url": "https://:pass@127.0.0.1"}, "not understood"),
        ({"base_url": "https://127.0.0.1/?a=1"}, "not understood"),
        ({"base_url": "https://[::1"}, "not understood"),
        ({"base_url": "https://host:99999"}, "not understood"),
        ({"base_url": "https://host:abc"}, "not understood"),
        ({"base_url": "https://a..b"}, "not understood"),
        ({"base_url": "https://"}, "not understood"),
        ({"base_url": "https://host/a HTTP/1.1"}, "not understood"),
        ({"base_url": "https://host/\r\nX: y"}, "not understood"),
        ({"base_url": "https://host/\x7f"}, "not understood"),
        ({"base_url": "https://h ost"}, "not understood"),
        ({"base_url": None}, "not understood"),
        ({"digest": "md5"}, "no digest"),
        ({"body": '{"account":1}'}, "body"),
        ({"body": None}, "body"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"attempt_timeout": None}, "attempt_timeout"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": "3"}, "attempts"),
        ({"keys": "~nobody-of-that-name/cert"}, "home folder"),
        ({"keys": Path("~nobody-of-that-name/cert")}, "home folder"),
        ({"keys": 5}, "neither a folder nor a signer"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "CA bundle"),
        ({"ca_bundle": "a\0b"}, "CA bundle"),
        ({"proxy": "gopher://x"}, "proxy"),
        ({"proxy": "http://h:abc"}, "proxy"),
        ({"proxy": "http://h h:1"}, "proxy"),
        ({"proxy": 5}, "proxy"),
        ({"proxy": "socks5://127.0.0.1:1"}, "proxy"),
        ({"base_url": "http://127.0.0.1", "proxy": "http://127.0.0.1:1"}, "https only"),
    ],
)
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_wrong_settings_are_refused_at_construction(
    client: Any, keys: Path, settings: dict[str, Any], says: str
) -> None:
    """What cannot work is told before anything is sent, with what to do."""
    arguments = {"account": PAGE_ACCOUNT, "keys": keys} | settings
    with pytest.raises(ConfigurationError, match=says) as caught:
        client(**arguments)
    assert caught.value.remedy


def test_uuid_in_capitals_is_sent_in_small_letters(keys: Path) -> None:
    """However it was copied, the account goes onto the wire in one form."""
    with wire_server() as server, Client(PAGE_ACCOUNT.upper(), keys, base_url=server.url) as client:
        client.balance()
    assert f"Account: {PAGE_ACCOUNT}".encode() in server.requests[0]
