"""What only HTTP/2 has: streams, frames, an extra to install, a server that does not speak it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

import h2_server
from alikassa import AsyncClient, Balance, Client, DeadlineExceededError, NetworkError
from conftest import PAGE_ACCOUNT, free_port
from h2_server import Script, frame_server
from https_server import HttpsServer, gives, https_server, waits
from wire_server import wire_server


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https"), free_port()) as running:
        yield running


@pytest.mark.by_the_clock
def test_closing_ends_what_is_under_way(
    keys: Path, server: HttpsServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Threads that ask while another one closes are told at once, nothing is printed, and the client can go on."""
    server.will(waits(5))
    client = Client(PAGE_ACCOUNT, keys, http2=True, base_url=server.url, ca_bundle=server.ca, timeout=4, attempts=1)

    def call(_: int) -> str:
        with pytest.raises(NetworkError) as caught:
            client.balance()
        return f"{type(caught.value).__name__}: {caught.value}"

    with ThreadPoolExecutor(20) as pool:
        calls = pool.map(call, range(20))
        while len(server.asked) < 20:
            time.sleep(0.01)
        started = time.monotonic()
        client.close()
        assert set(calls) == {"NetworkError: The client was closed meanwhile."}
    assert time.monotonic() - started < 2
    assert (capfd.readouterr().err, caplog.messages) == ("", [])
    server.will(gives())
    with client:
        assert client.balance().currency == "RUB"


def ask(kind: str, keys: Path, **settings: Any) -> Balance:
    if kind == "sync":
        with Client(PAGE_ACCOUNT, keys, http2=True, **settings) as client:
            return client.balance()

    async def run() -> Balance:
        async with AsyncClient(PAGE_ACCOUNT, keys, http2=True, **settings) as client:
            return await client.balance()

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
FAULTS = pytest.mark.parametrize(
    "fault",
    [
        h2_server.resets_the_stream,
        h2_server.goes_away,
        h2_server.says_junk,
        h2_server.breaks_the_protocol,
        h2_server.resets_the_connection,
    ],
)


@BOTH
@FAULTS
def test_a_broken_answer_is_asked_for_again(
    kind: str, keys: Path, context: ssl.SSLContext, bundle: Path, fault: Script
) -> None:
    """Whatever the server does in place of an answer, the next attempt gets one."""
    with frame_server(context, fault, h2_server.gives) as server:
        assert ask(kind, keys, base_url=server.url, ca_bundle=bundle, timeout=5).currency == "RUB"
    assert server.requests == 2


@BOTH
@FAULTS
def test_answers_that_are_always_broken_are_a_network_error(
    kind: str, keys: Path, context: ssl.SSLContext, bundle: Path, fault: Script
) -> None:
    """It is one of ours, and says what to do."""
    with frame_server(context, fault) as server, pytest.raises(NetworkError) as caught:
        ask(kind, keys, base_url=server.url, ca_bundle=bundle, timeout=5, attempts=2)
    assert caught.value.remedy
    assert not isinstance(caught.value, DeadlineExceededError)


@BOTH
def test_a_server_that_goes_away_after_its_answer_is_found_again(
    kind: str, keys: Path, context: ssl.SSLContext, bundle: Path
) -> None:
    """GOAWAY is how servers end a connection in good order: the next call opens another."""
    with frame_server(context, h2_server.gives_and_goes_away) as server:
        settings: dict[str, Any] = {"base_url": server.url, "ca_bundle": bundle, "http2": True, "attempts": 1}
        if kind == "sync":
            with Client(PAGE_ACCOUNT, keys, **settings) as client:
                client.balance()
                client.balance()
        else:

            async def run() -> None:
                async with AsyncClient(PAGE_ACCOUNT, keys, **settings) as client:
                    await client.balance()
                    await client.balance()

            asyncio.run(run())
    assert (server.requests, server.connections) == (2, 2)


@BOTH
def test_a_server_without_http2_is_asked_over_http11(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """The protocol is agreed upon in the TLS handshake: who does not speak HTTP/2 is asked without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    with wire_server(tls=context) as server:
        assert ask(kind, keys, base_url=server.url, ca_bundle=bundle).currency == "RUB"
    assert server.requests[0].startswith(b"POST /v1/account/balance HTTP/1.1\r\n")


@pytest.mark.by_the_clock
def test_each_thread_on_a_connection_has_its_own_deadline(keys: Path, server: HttpsServer) -> None:
    """A short call ends in its time while a long one waits on the same connection, and the long one is not hurt."""
    server.will(waits(1.2))
    found: list[Balance] = []
    with Client(PAGE_ACCOUNT, keys, base_url=server.url, ca_bundle=server.ca, http2=True) as client:
        long = threading.Thread(target=lambda: found.append(client.balance(timeout=10)))
        long.start()
        time.sleep(0.3)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            client.balance(timeout=0.3)
        assert time.monotonic() - started < 0.8
        long.join()
    assert [one.currency for one in found] == ["RUB"]
    assert server.connections == 1


def test_a_closed_client_leaves_no_thread_and_opens_again(keys: Path, server: HttpsServer) -> None:
    """The event loop's thread ends with `close`; a call after it starts another."""
    server.will(gives())
    client = Client(PAGE_ACCOUNT, keys, base_url=server.url, ca_bundle=server.ca, http2=True)
    for _ in range(2):
        client.balance()
        assert "alikassa http2" in [thread.name for thread in threading.enumerate()]
        client.close()
        assert "alikassa http2" not in [thread.name for thread in threading.enumerate()]


def test_a_client_made_without_the_extra_says_what_to_install(keys: Path) -> None:
    """Without h2, `http2=True` is a ConfigurationError with the command, for both clients."""
    program = (
        "import sys; sys.modules['h2'] = None\n"
        "from alikassa import AsyncClient, Client, ConfigurationError\n"
        "for kind in (Client, AsyncClient):\n"
        "    try: kind(sys.argv[1], sys.argv[2], http2=True)\n"
        "    except ConfigurationError as error: print(error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, PAGE_ACCOUNT, keys], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("pip install 'alikassa[http2]'\n" * 2, "")
