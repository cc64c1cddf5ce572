"""One suite for every way to ask: sync and async, HTTP/1.1 and HTTP/2, over TLS, from somebody else's server."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from alikassa import (
    AsyncClient,
    Balance,
    Client,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerError,
)
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, free_port, openssl_sign
from https_server import HttpsServer, breaks_off, drips, gives, https_server, says, waits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https"), free_port()) as running:
        yield running


@dataclass(frozen=True)
class Way:
    """How to ask."""

    asynchronous: bool
    http2: bool
    keys: Path
    server: HttpsServer

    def ask(self, **settings: Any) -> Balance:
        """One question by a client of its own."""
        return self.ask_many(1, **settings)[0]

    def ask_many(self, times: int, **settings: Any) -> list[Balance]:
        """So many questions at the same time, by one client."""
        given: dict[str, Any] = {
            "base_url": self.server.url,
            "ca_bundle": self.server.ca,
            "http2": self.http2,
        } | settings
        if self.asynchronous:
            return asyncio.run(self._ask_together(times, given))
        with Client(PAGE_ACCOUNT, self.keys, **given) as client:
            if times == 1:
                return [client.balance()]
            found: list[Balance] = []
            threads = [threading.Thread(target=lambda: found.append(client.balance())) for _ in range(times)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return found

    async def _ask_together(self, times: int, given: dict[str, Any]) -> list[Balance]:
        async with AsyncClient(PAGE_ACCOUNT, self.keys, **given) as client:
            return await asyncio.gather(*(client.balance() for _ in range(times)))


@pytest.fixture(params=["sync-1.1", "sync-2", "async-1.1", "async-2"])
def way(request: pytest.FixtureRequest, archives: Callable[[str], Path], server: HttpsServer) -> Way:
    kind, version = request.param.split("-")
    return Way(kind == "async", version == "2", archives("payout"), server)


def test_the_request_is_the_contracts(way: Way, server: HttpsServer) -> None:
    """The protocol that was asked for; the three headers; `Sign` as openssl makes it over the body that arrived."""
    server.will(gives())
    assert way.ask().raw == PAGE_ANSWER
    (asked,) = server.asked
    assert asked.version == ("2" if way.http2 else "1.1")
    assert asked.body == b"{}"
    assert asked.headers["account"] == PAGE_ACCOUNT
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["sign"] == openssl_sign(way.keys, b"{}")


def _answer(**fields: str) -> bytes:
    known = {"currency": '"RUB"', "balance": '"1"', "hold": '"2"', "rolling_reserve": '"3"', "pending_payouts": '"4"'}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in (known | fields).items() if value) + "}").encode()


TAKEN = {
    "bare numbers": (_answer(balance="93.84000000", hold="7"), "93.84000000"),
    "a number that no float holds": (_answer(balance="123456789012345678.12345678"), "123456789012345678.12345678"),
    "no pending_payouts": (_answer(pending_payouts=""), "1"),
    "more fields": (_answer(frozen='{"a":[1.10]}'), "1"),
    "two decimals": (_answer(balance='"93.84"'), "93.84"),
    "eighteen decimals": (_answer(balance='"0.123456789012345678"'), "0.123456789012345678"),
    "spaces and another order": (b' {"hold":"2", "rolling_reserve":"3","balance":"1","currency":"RUB"}\n', "1"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_drift_that_is_taken(way: Way, server: HttpsServer, what: str) -> None:
    """What servers do say besides the page's form is read, to the last digit."""
    body, balance = TAKEN[what]
    server.will(gives(body))
    found = way.ask()
    assert format(found.balance, "f") == balance
    assert found.raw == body


REFUSED = {
    "NaN": _answer(balance="NaN"),
    "NaN as text": _answer(balance='"NaN"'),
    "infinity": _answer(hold='"Infinity"'),
    "an exponent": _answer(balance="1e3"),
    "an exponent as text": _answer(balance='"1E3"'),
    "forty digits": _answer(balance='"' + "9" * 40 + '"'),
    "underscores": _answer(balance='"1_000"'),
    "true": _answer(balance="true"),
    "null": _answer(rolling_reserve="null"),
    "a missing field": _answer(hold=""),
    "no currency": _answer(currency=""),
    "truncated JSON": PAGE_ANSWER[:-1],
    "a list": b"[]",
    "nothing": b"",
    "another encoding": PAGE_ANSWER.decode().encode("utf-16"),
    "a deep nest": b"[" * 30_000,
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_balance_is_refused(way: Way, server: HttpsServer, what: str) -> None:
    """It is a ProtocolError, after one request, with the start of what came and with what to do."""
    server.will(gives(REFUSED[what]))
    with pytest.raises(ProtocolError) as caught:
        way.ask()
    assert caught.value.raw == REFUSED[what][:200]
    assert caught.value.remedy
    assert len(server.asked) == 1


def test_another_content_type_is_told_with_the_junk(way: Way, server: HttpsServer) -> None:
    """A login page in place of the API is named as what it came as."""
    server.will(says(200, b"<html>", content_type="text/html; charset=utf-8"))
    with pytest.raises(ProtocolError) as caught:
        way.ask()
    assert "text/html" in caught.value.remedy


def test_a_balance_under_another_content_type_is_taken(way: Way, server: HttpsServer) -> None:
    """The body decides: a server that mislabels JSON is understood."""
    server.will(says(200, PAGE_ANSWER, content_type="text/html"))
    assert way.ask().balance == Decimal("93.84")


def test_a_huge_answer_is_not_read_to_its_end(way: Way, server: HttpsServer) -> None:
    """More than 64 KiB is no balance."""
    server.will(gives(b" " * 70_000 + PAGE_ANSWER))
    with pytest.raises(ProtocolError, match="65536"):
        way.ask()
    assert len(server.asked) == 1


def test_a_refusal_is_told_field_by_field(way: Way, server: HttpsServer) -> None:
    """The server's words, in the server's fields; asked once."""
    server.will(says(400, b'{"message":"no","errors":{"sign":["one","two"],"account":"unknown"}}'))
    with pytest.raises(RefusedError) as caught:
        way.ask()
    assert caught.value.errors == {"sign": ("one", "two"), "account": ("unknown",)}
    assert caught.value.remedy
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_server_is_asked_again(way: Way, server: HttpsServer, status: int) -> None:
    """The next answer counts."""
    server.will(says(status), gives())
    assert way.ask().currency == "RUB"
    assert len(server.asked) == 2


def test_a_server_that_stays_broken_is_told(way: Way, server: HttpsServer) -> None:
    """After the last attempt, as the server's failure."""
    server.will(says(500))
    with pytest.raises(ServerError) as caught:
        way.ask(attempts=3)
    assert (caught.value.status, caught.value.retryable, len(server.asked)) == (500, True, 3)
    assert caught.value.remedy


@pytest.mark.by_the_clock
def test_retry_after_as_a_date_is_by_the_servers_clock(way: Way, server: HttpsServer) -> None:
    """A 429 with an HTTP date, from a server whose clock is a year behind: one second is one second."""
    now = datetime.now(UTC) - timedelta(days=365)
    later = format_datetime(now + timedelta(seconds=1), usegmt=True)
    server.will(says(429, b"{}", retry_after=later, date=format_datetime(now, usegmt=True)), gives())
    started = time.monotonic()
    way.ask()
    assert 0.9 <= time.monotonic() - started < 3


@pytest.mark.by_the_clock
@pytest.mark.parametrize("form", ["60", "date"])
def test_retry_after_beyond_the_calls_time_is_told_at_once(way: Way, server: HttpsServer, form: str) -> None:
    """Waiting would be in vain: the error has the seconds."""
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True) if form == "date" else form
    server.will(says(429, b"{}", retry_after=text))
    started = time.monotonic()
    with pytest.raises(RateLimitedError) as caught:
        way.ask(timeout=5)
    assert 55 < (caught.value.retry_after or 0) <= 60
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("status", [302, 307, 404])
def test_no_redirect_is_followed(way: Way, server: HttpsServer, status: int) -> None:
    """A signed request goes where it was meant to go, and nowhere else."""
    server.will(says(status, b"", location=server.url + "/elsewhere"))
    with pytest.raises(ServerError) as caught:
        way.ask()
    assert (caught.value.status, caught.value.retryable, len(server.asked)) == (status, False, 1)


def test_an_answer_that_breaks_off_is_none(way: Way, server: HttpsServer) -> None:
    """It ends before the length that it promised: asked again."""
    server.will(breaks_off, gives())
    assert way.ask().currency == "RUB"
    assert len(server.asked) == 2


def test_an_answer_that_always_breaks_off_is_a_network_error(way: Way, server: HttpsServer) -> None:
    """It is told as one that may pass."""
    server.will(breaks_off)
    with pytest.raises(NetworkError) as caught:
        way.ask(attempts=2)
    assert caught.value.retryable
    assert not isinstance(caught.value, DeadlineExceededError)
    assert len(server.asked) == 2


@pytest.mark.by_the_clock
@pytest.mark.parametrize("script", [drips(PAGE_ANSWER, 0.1), waits(2)], ids=["drip", "silence"])
def test_no_server_stretches_a_call(way: Way, server: HttpsServer, script: Any) -> None:
    """Whether it drips or says nothing: the call ends when its time is over."""
    server.will(script)
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        way.ask(timeout=0.4)
    assert 0.3 < time.monotonic() - started < 1.8


@pytest.mark.by_the_clock
@pytest.mark.parametrize("script", [drips(PAGE_ANSWER, 0.1), waits(2)], ids=["drip", "silence"])
def test_an_attempt_that_ran_out_is_tried_again(way: Way, server: HttpsServer, script: Any) -> None:
    """While the call has time, the next attempt may be luckier; it has a connection of its own."""
    server.will(script, gives())
    started = time.monotonic()
    assert way.ask(attempt_timeout=0.3, timeout=10).currency == "RUB"
    assert 0.3 <= time.monotonic() - started < 2.5
    assert (len(server.asked), server.connections) == (2, 2)


def test_attempts_that_all_run_out_are_a_network_error(way: Way, server: HttpsServer) -> None:
    """Told as what it is: each attempt's time, not the call's."""
    server.will(waits(5))
    with pytest.raises(NetworkError, match=r"within 1 s") as caught:
        way.ask(attempt_timeout=1, attempts=2)
    assert not isinstance(caught.value, DeadlineExceededError)
    assert len(server.asked) == 2


def test_two_hundred_at_a_time(way: Way, server: HttpsServer) -> None:
    """Two hundred threads or tasks on one client: each gets its answer; HTTP/2 needs one connection for all."""
    server.will(gives())
    found = way.ask_many(200)
    assert [one.raw for one in found] == [PAGE_ANSWER] * 200
    assert len(server.asked) == 200
    assert server.connections <= (1 if way.http2 else 100)


def test_sign_that_a_server_repeats_is_not_told(way: Way, server: HttpsServer) -> None:
    """A server that echoes what it was sent, PHP's escaped slashes or not, does not get `Sign` into an error."""
    sign = openssl_sign(way.keys, b"{}")
    for spelling in (sign, sign.replace("/", "\\/")):
        server.will(says(400, b'{"message":"bad ' + spelling.encode() + b'","errors":{}}'))
        with pytest.raises(RefusedError, match="bad <sign>"):
            way.ask()
        server.will(gives(b'{"sign":"' + spelling.encode() + b'"}'))
        with pytest.raises(ProtocolError) as caught:
            way.ask()
        assert caught.value.raw == b'{"sign":"<sign>"}'
    assert base64.b64decode(sign), "the test must know the real Sign"


def test_every_attempt_has_the_calls_id(way: Way, server: HttpsServer) -> None:
    """X-Request-Id: one a call, the same for its retries, fresh for the next call, and in the error."""
    server.will(says(500), says(400, b'{"message":"no"}', x_request_id="theirs"))
    with pytest.raises(RefusedError) as caught:
        way.ask()
    first = {one.headers["x-request-id"] for one in server.asked}
    assert first == {caught.value.request_id}
    assert caught.value.server_request_id == "theirs"
    server.will(gives())
    way.ask()
    assert first.isdisjoint(one.headers["x-request-id"] for one in server.asked)
