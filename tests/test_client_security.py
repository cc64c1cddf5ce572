"""What the client never does: trust a stranger's certificate, or show a secret."""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
import pickle
import re
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from alikassa import AlikassaError, AsyncClient, Client, NetworkError
from alikassa.client.failures import network_error
from conftest import PAGE_ACCOUNT, openssl_sign
from wire_server import Script, drip, hang_up, ok, raw, respond, silence, wire_server


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def ask(kind: str, keys: Path, **settings: object) -> None:
    if kind == "sync":
        with Client(PAGE_ACCOUNT, keys, attempts=1, **settings) as client:  # type: ignore[arg-type]
            client.balance()
        return

    async def run() -> None:
        async with AsyncClient(PAGE_ACCOUNT, keys, attempts=1, **settings) as client:  # type: ignore[arg-type]
            await client.balance()

    asyncio.run(run())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
def test_a_private_ca_is_trusted_when_named(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """With its CA bundle, an HTTPS server is asked."""
    with wire_server(tls=server_context(ca, "127.0.0.1")) as server:
        ask(kind, keys, base_url=server.url, ca_bundle=bundle)
    assert len(server.requests) == 1


@BOTH
def test_an_unknown_ca_is_not_trusted(kind: str, keys: Path, ca: trustme.CA) -> None:
    """Without it, not a byte of the request is sent."""
    with (
        wire_server(tls=server_context(ca, "127.0.0.1")) as server,
        pytest.raises(NetworkError) as caught,
    ):
        ask(kind, keys, base_url=server.url)
    assert "ca_bundle" in caught.value.remedy
    assert server.requests == []


@BOTH
def test_a_certificate_of_another_host_is_not_trusted(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """The name in the certificate must be the host that was asked."""
    with wire_server(tls=server_context(ca, "example.com")) as server, pytest.raises(NetworkError):
        ask(kind, keys, base_url=server.url, ca_bundle=bundle)
    assert server.requests == []


@BOTH
def test_a_proxy_is_used_and_sees_no_secret(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """Through an HTTP proxy the request goes in a tunnel, of which the proxy sees the address only."""
    seen: list[bytes] = []
    with wire_server(tls=server_context(ca, "127.0.0.1")) as server, tunnel(seen) as proxy:
        ask(kind, keys, base_url=server.url, ca_bundle=bundle, proxy=proxy)
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Basic bWU6czNjcmV0" in seen[0]
    assert b"Sign" not in b"".join(seen)


@BOTH
def test_a_proxy_may_speak_tls(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """TLS to the server goes inside TLS to the proxy; both are checked."""
    seen: list[bytes] = []
    context = server_context(ca, "127.0.0.1")
    with wire_server(tls=context) as server, tunnel(seen, context) as proxy:
        ask(kind, keys, base_url=server.url, ca_bundle=bundle, proxy=proxy)
    assert len(server.requests) == 1
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Sign" not in b"".join(seen)
    seen.clear()
    with wire_server(tls=context) as server, tunnel(seen, context) as proxy, pytest.raises(NetworkError):
        ask(kind, keys, base_url=server.url, proxy=proxy)
    assert (server.requests, seen) == ([], [])


@BOTH
def test_a_stranger_behind_such_a_proxy_is_not_trusted(kind: str, keys: Path, ca: trustme.CA, bundle: Path) -> None:
    """The server's certificate is checked inside the tunnel, too."""
    with (
        wire_server(tls=server_context(ca, "example.com")) as server,
        tunnel([], server_context(ca, "127.0.0.1")) as proxy,
        pytest.raises(NetworkError, match="certificate"),
    ):
        ask(kind, keys, base_url=server.url, ca_bundle=bundle, proxy=proxy)
    assert server.requests == []


@pytest.mark.by_the_clock
@BOTH
def test_what_drips_through_a_tls_proxy_does_not_stretch_a_call(
    kind: str, keys: Path, ca: trustme.CA, bundle: Path
) -> None:
    """A TLS record that comes byte by byte inside the tunnel ends with the call's time."""

    def drips_a_record(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        drip(b"\x16\x03\x03\x40\x00" + bytes(40), 0.1)(connection)

    started = time.monotonic()
    with wire_server(drips_a_record, tls=server_context(ca, "127.0.0.1")) as proxy, pytest.raises(NetworkError):
        ask(kind, keys, base_url="https://127.0.0.1:1", ca_bundle=bundle, proxy=proxy.url, timeout=0.4)
    assert time.monotonic() - started < 1.5


@BOTH
def test_plain_http_never_goes_through_a_proxy(kind: str, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would read `Sign`: to this machine itself, none is used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with wire_server() as server:
        ask(kind, keys, base_url=server.url)
    assert len(server.requests) == 1


def test_the_environments_proxy_is_used_for_https(
    keys: Path, ca: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY counts, and NO_PROXY takes hosts out of it."""
    seen: list[bytes] = []
    with wire_server(tls=server_context(ca, "127.0.0.1")) as server, tunnel(seen) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        ask("sync", keys, base_url=server.url, ca_bundle=bundle)
        assert seen[0].startswith(b"CONNECT")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        seen.clear()
        ask("sync", keys, base_url=server.url, ca_bundle=bundle)
    assert seen == []


class tunnel:  # noqa: N801 - used as a context manager
    """An HTTP proxy that only tunnels and keeps what it can read."""

    def __init__(self, seen: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self._seen = seen
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls

    def __enter__(self) -> str:
        threading.Thread(target=self._accept, daemon=True).start()
        return f"http{'s' if self._tls else ''}://me:s3cret@127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        inner, _ = self._listener.accept()
        if self._tls is not None:
            try:
                inner = self._tls.wrap_socket(inner, server_side=True)
            except OSError:
                return
        request = inner.recv(65536)
        self._seen.append(request)
        host, _, port = request.split()[1].decode().partition(":")
        outer = socket.create_connection((host, int(port)))
        inner.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=self._pump, args=(inner, outer), daemon=True).start()
        self._pump(outer, inner)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._seen.append(data)
                target.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


@pytest.fixture
def secrets(keys: Path) -> list[str]:
    """What must not be seen anywhere: `Sign` in its spellings, the passphrase, lines of the key."""
    sign = openssl_sign(keys, b"{}")
    key = [line for line in (keys / "private.pem").read_text().splitlines() if len(line) > 30 and ":" not in line]
    return [sign, sign[:40], base64.b64decode(sign).hex()[:40], (keys / "password.txt").read_text(), *key]


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """All log records of all libraries at their most talkative."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.args}")

    root, handler = logging.getLogger(), Keep(level=0)
    level = root.level
    root.addHandler(handler)
    root.setLevel(0)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def printed(error: BaseException) -> str:
    """A traceback with the variables of every frame and of every error in the chain, but for the tests' own."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    pending: list[traceback.TracebackException | None] = [told]
    while pending:
        one = pending.pop()
        if one is not None:
            own = [frame for frame in one.stack if frame.filename not in (__file__, threading.__file__)]
            one.stack = traceback.StackSummary.from_list(own)
            pending += [one.__cause__, one.__context__]
    return "".join(told.format())


SCRIPTS = [
    ok(),
    hang_up,
    raw(b"junk\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    respond(400, b'{"message":"no","errors":{"sign":["bad"]}}'),
    respond(500, b""),
    ok(b"{}"),
    silence(5),
]


@BOTH
@pytest.mark.parametrize("script", SCRIPTS)
def test_secrets_are_shown_nowhere(
    kind: str, keys: Path, secrets: list[str], everything_logged: list[str], script: Callable[[socket.socket], None]
) -> None:
    """Whatever goes wrong: no log, no error text and no traceback, not even one that prints variables, shows one."""
    shown = ""
    with wire_server(script) as server:
        try:
            ask(kind, keys, base_url=server.url, timeout=0.5)
        except AlikassaError as error:
            shown = printed(error)
            assert "outgoing = Outgoing" in shown, "variables must be shown"
            shown += f"{error!r} {error.remedy} {error.__dict__!r}"
    assert server.requests
    assert secrets[0].encode() in server.requests[0], "the test must know the real Sign"
    shown += "\n".join(everything_logged)
    assert [secret for secret in secrets if secret in shown] == []


ECHOES: dict[str, Callable[[str], Script]] = {
    "as it stands": lambda sign: refusal(sign),
    "JSON that escapes a slash": lambda sign: refusal(sign.replace("/", r"\/")),
    "JSON that escapes what HTML escapes": lambda sign: refusal(
        sign.replace("+", r"\u002B").replace("/", r"\u002F").replace("=", r"\u003D")
    ),
    "a URL's spelling": lambda sign: refusal(quote(sign, safe="")),
    "cut": lambda sign: refusal(sign[:200]),
    "the request's id": lambda sign: respond(503, b"", X_Request_Id=sign[:120]),
    "no HTTP": lambda sign: raw(f"Sign: {sign}\r\n\r\n".encode()),
    "a header that is none": lambda sign: raw(f"HTTP/1.1 200 OK\r\nSign {sign}\r\n\r\n".encode()),
    "junk of a strange kind": lambda sign: respond(200, b"<>", Content_Type=sign),
}


def refusal(said: str) -> Script:
    return respond(400, b'{"message":"bad %s","errors":{"sign":["%s"]}}' % (said.encode(), said.encode()))


@BOTH
@pytest.mark.parametrize("echo", ECHOES)
def test_what_a_server_repeats_is_covered(
    kind: str, keys: Path, secrets: list[str], caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    """However a server, or the HTTP library that quotes it, spells `Sign`: no error and no line of ours has a piece."""
    caplog.set_level(logging.DEBUG, "alikassa")
    sign = secrets[0]
    with wire_server(ECHOES[echo](sign)) as server, pytest.raises(AlikassaError) as caught:
        ask(kind, keys, base_url=server.url)
    error = caught.value
    shown = f"{printed(error)} {error} {error.remedy} {vars(error)!r} {caplog.messages}"
    assert [run for run in re.split("[+/=]", sign) if len(run) > 7 and run in shown] == []


@BOTH
def test_what_a_proxy_says_does_not_steer_a_terminal(kind: str, keys: Path) -> None:
    """Its reason is shown without control characters."""
    with (
        wire_server(raw(b"HTTP/1.1 407 \x1b[31mNo\x9b2J\r\n\r\n")) as proxy,
        pytest.raises(NetworkError, match="No") as caught,
    ):
        ask(kind, keys, base_url="https://127.0.0.1:1", proxy=proxy.url)
    assert str(caught.value).isprintable()


@BOTH
def test_a_failed_connection_shows_no_secret(kind: str, keys: Path, secrets: list[str], unused_port: int) -> None:
    """Nobody listens: the traceback with variables is clean too."""
    with pytest.raises(NetworkError) as caught:
        ask(kind, keys, base_url=f"http://127.0.0.1:{unused_port}")
    shown = printed(caught.value)
    assert [secret for secret in secrets if secret in shown] == []


def test_frames_of_the_http_library_are_dropped() -> None:
    """Their variables hold the request's headers; the chain of errors keeps its texts and loses its frames."""

    def send() -> None:
        headers = [("Sign", "c2VjcmV0LXNpZ24=")]
        try:
            raise OSError(f"{len(headers)} header was not sent")
        except OSError as error:
            raise ValueError("no answer") from error

    try:
        send()
    except ValueError as error:
        found = network_error(error, "https://127.0.0.1/", what="No answer from")
    told = "".join(traceback.TracebackException.from_exception(found, capture_locals=True).format())
    assert "c2VjcmV0" not in told
    assert "1 header was not sent" in told


def test_reprs_show_no_secret(keys: Path, secrets: list[str]) -> None:
    """A client, its core and the request it made may be printed."""
    with wire_server() as server, Client(PAGE_ACCOUNT, keys, base_url=server.url) as client:
        client.balance()
        outgoing = client._core.outgoing("an-id", b"{}", client._core.signing.sign(None, b"{}"))
        shown = f"{client!r} {client._core!r} {outgoing!r} {vars(client._core)!r} {vars(client)!r}"
    assert [secret for secret in secrets if secret in shown] == []
    assert PAGE_ACCOUNT in shown


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_client_is_neither_pickled_nor_copied(client: type[Client] | type[AsyncClient], keys: Path) -> None:
    """Two of one would share connections; one in another process would need the key: it is said what to do instead."""
    one = client(PAGE_ACCOUNT, keys, base_url="http://127.0.0.1:1")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Make one where it is used"):
            take(one)


def test_a_secret_is_not_pickled(keys: Path) -> None:
    """`Sign` does not reach a cache or a queue by accident."""
    with Client(PAGE_ACCOUNT, keys, base_url="http://127.0.0.1:1") as client, pytest.raises(TypeError):
        pickle.dumps(client._core.signing.sign(None, b"{}"))
