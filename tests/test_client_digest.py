"""`digest="auto"` asks the server once; a platform without SHA-1 signatures is told at construction."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from alikassa import (
    AsyncClient,
    Client,
    ConfigurationError,
    Digest,
    DigestChosen,
    Event,
    KeySigner,
    RefusedError,
)
from conftest import PAGE_ACCOUNT, Server, Shop, openssl_sign, run_cli
from wire_server import WireServer, ok, respond, wire_server

SIGN_REFUSED = respond(400, b'{"message":"The given data was invalid.","errors":{"sign":["does not match"]}}')


def slowly_refused(connection: socket.socket) -> None:
    """A refusal of `sign` that leaves the others the time to arrive."""
    time.sleep(0.2)
    SIGN_REFUSED(connection)


ACCOUNT_REFUSED = respond(400, b'{"message":"The given data was invalid.","errors":{"account":["unknown"]}}')


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


def signs(server: WireServer) -> list[str]:
    """The `Sign` of each request that arrived."""
    lines = [line for request in server.requests for line in request.decode().split("\r\n")]
    return [line.split(": ", 1)[1] for line in lines if line.lower().startswith("sign:")]


@pytest.fixture
def by_sha256(keys: Path) -> str:
    return openssl_sign(keys, b"{}", "sha256")


@pytest.fixture
def by_sha1(keys: Path) -> str:
    return openssl_sign(keys, b"{}", "sha1")


def ask_twice(kind: str, keys: Any, **settings: Any) -> tuple[Digest | None, Digest | None]:
    """Two calls of one client with `auto`: its `digest` before and after."""
    if kind == "sync":
        with Client(PAGE_ACCOUNT, keys, digest="auto", **settings) as client:
            before = client.digest
            client.balance()
            client.balance()
            return before, client.digest

    async def run() -> tuple[Digest | None, Digest | None]:
        async with AsyncClient(PAGE_ACCOUNT, keys, digest="auto", **settings) as client:
            before = client.digest
            await client.balance()
            await client.balance()
            return before, client.digest

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@BOTH
def test_a_server_for_sha256_is_found_at_once(kind: str, keys: Path, by_sha256: str) -> None:
    """SHA-256 comes first, and when it is taken nothing else is sent."""
    with wire_server() as server:
        assert ask_twice(kind, keys, base_url=server.url) == (None, Digest.SHA256)
    assert signs(server) == [by_sha256] * 2


@BOTH
def test_a_server_for_sha1_is_found_and_remembered(kind: str, keys: Path, by_sha256: str, by_sha1: str) -> None:
    """A refusal of `sign` brings SHA-1, which is told as an event and used from then on."""
    events: list[Event] = []
    with wire_server(SIGN_REFUSED, ok()) as server:
        assert ask_twice(kind, keys, base_url=server.url, on_event=events.append) == (None, Digest.SHA1)
    assert signs(server) == [by_sha256, by_sha1, by_sha1]
    assert [event.digest for event in events if isinstance(event, DigestChosen)] == [Digest.SHA1]


def test_our_server_with_sha1_switched_off_is_asked_with_sha256(
    sqlite_shop: Shop, serve: Callable[..., Server]
) -> None:
    """The real server, which has SHA-1 forbidden for this certificate, answers `auto` and refuses `sha1`."""
    assert (
        run_cli(
            "certificate", "sha1", sqlite_shop.payout_certificate, "--forbid", "--database", sqlite_shop.database
        ).returncode
        == 0
    )
    server = serve(sqlite_shop.database)
    with Client(PAGE_ACCOUNT, sqlite_shop.payout, base_url=server.url, digest="auto") as client:
        assert client.balance().currency == "RUB"
        assert client.digest is Digest.SHA256
    with (
        Client(PAGE_ACCOUNT, sqlite_shop.payout, base_url=server.url, digest="sha1") as client,
        pytest.raises(RefusedError),
    ):
        client.balance()


@BOTH
def test_both_refused_is_told_and_nothing_remembered(kind: str, keys: Path) -> None:
    """Then it is not the digest, which the error says."""
    with wire_server(SIGN_REFUSED) as server, pytest.raises(RefusedError) as caught:
        ask_twice(kind, keys, base_url=server.url)
    assert "Both sha256 and sha1" in caught.value.remedy
    assert len(server.requests) == 2


@BOTH
def test_a_refusal_of_something_else_is_no_reason_for_sha1(kind: str, keys: Path, by_sha256: str) -> None:
    """An unknown account says nothing about the digest."""
    with wire_server(ACCOUNT_REFUSED) as server, pytest.raises(RefusedError):
        ask_twice(kind, keys, base_url=server.url)
    assert signs(server) == [by_sha256]


def test_a_failing_server_decides_nothing(keys: Path, by_sha256: str, by_sha1: str) -> None:
    """A 500 is tried again with the same digest, under SHA-1 too."""
    failed = respond(500, b"")
    with wire_server(failed, SIGN_REFUSED, failed, ok()) as server:
        ask_twice("sync", keys, base_url=server.url)
    assert signs(server)[:4] == [by_sha256, by_sha256, by_sha1, by_sha1]


def test_without_auto_no_other_digest_is_tried(keys: Path) -> None:
    """A client never changes the digest by itself."""
    with (
        wire_server(SIGN_REFUSED, ok()) as server,
        Client(PAGE_ACCOUNT, keys, base_url=server.url) as client,
        pytest.raises(RefusedError),
    ):
        client.balance()
    assert len(server.requests) == 1


def test_threads_that_begin_together_probe_once(keys: Path, by_sha256: str, by_sha1: str) -> None:
    """Fifty first calls at a time send one SHA-256 request between them."""
    with wire_server(slowly_refused, ok()) as server:
        with Client(PAGE_ACCOUNT, keys, base_url=server.url, digest="auto") as client:
            threads = [threading.Thread(target=client.balance) for _ in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert client.digest is Digest.SHA1
    assert sorted(signs(server)) == sorted([by_sha256] + [by_sha1] * 50)


def test_tasks_that_begin_together_probe_once(keys: Path, by_sha256: str, by_sha1: str) -> None:
    """Fifty tasks as fifty threads."""

    async def run(url: str) -> None:
        async with AsyncClient(PAGE_ACCOUNT, keys, base_url=url, digest="auto") as client:
            await asyncio.gather(*(client.balance() for _ in range(50)))

    with wire_server(slowly_refused, ok()) as server:
        asyncio.run(run(server.url))
    assert sorted(signs(server)) == sorted([by_sha256] + [by_sha1] * 50)


@BOTH
def test_a_signer_that_can_do_both_is_asked_for_both(kind: str) -> None:
    """A signer of one's own with `with_digest` serves `auto`."""

    class Both:
        def __init__(self, digest: Digest = Digest.SHA256) -> None:
            self.digest = digest

        def sign(self, data: bytes, /) -> bytes:
            return self.digest.encode()

        def with_digest(self, digest: Digest, /) -> Both:
            return Both(digest)

    with wire_server(SIGN_REFUSED, ok()) as server:
        assert ask_twice(kind, Both(), base_url=server.url)[1] is Digest.SHA1
    assert signs(server) == ["c2hhMjU2", "c2hhMQ==", "c2hhMQ=="]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_signer_without_a_choice_has_no_auto(client: Any) -> None:
    """There is nothing to find out, which is told at construction."""

    class One:
        def sign(self, data: bytes, /) -> bytes:
            return b""

    with pytest.raises(ConfigurationError, match="no choice") as caught:
        client(PAGE_ACCOUNT, One(), digest="auto")
    assert "with_digest" in caught.value.remedy


# A platform that forbids SHA-1 signatures


class Forbidding:
    """A key on such a platform: the library's own answer there. Everything else is the real key's."""

    key_size = 2048

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        if algorithm.name == "sha1":
            raise UnsupportedAlgorithm("sha1 is not supported by this backend for RSA signing")
        return b"signature"


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_platform_without_sha1_is_told_at_construction(client: Any) -> None:
    """Not at the first call, and with what to do."""
    with pytest.raises(ConfigurationError, match="SHA-1") as caught:
        client(PAGE_ACCOUNT, KeySigner(Forbidding(), Digest.SHA1))  # type: ignore[arg-type]
    assert "update-crypto-policies" in caught.value.remedy


def test_auto_meets_such_a_platform_when_it_needs_sha1() -> None:
    """SHA-256 works there; only a server that refuses it brings the error."""
    signer = KeySigner(Forbidding())  # type: ignore[arg-type]
    with wire_server() as server:
        assert ask_twice("sync", signer, base_url=server.url)[1] is Digest.SHA256
    with wire_server(SIGN_REFUSED) as server, pytest.raises(ConfigurationError, match="SHA-1") as caught:
        ask_twice("sync", signer, base_url=server.url)
    assert caught.value.request_id


TRY = f"""
import sys
from alikassa import AlikassaError, Client
try:
    Client({PAGE_ACCOUNT!r}, sys.argv[1], digest="sha1")
except AlikassaError as error:
    print(type(error).__name__, bool(error.remedy))
else:
    print("made")
"""


@pytest.mark.parametrize(
    ("section", "outcomes"),
    [
        # Red Hat's own setting: only its own OpenSSL knows it. A wheel's OpenSSL signs.
        ("rh-allow-sha1-signatures = no", ("made", "ConfigurationError True")),
        # No algorithm at all but those of a FIPS module that is not there.
        ("default_properties = fips=yes", ("CertificateError True", "ConfigurationError True")),
    ],
)
def test_what_the_platforms_openssl_configuration_does(
    keys: Path, tmp_path: Path, section: str, outcomes: tuple[str, ...]
) -> None:
    """With a real OPENSSL_CONF: what is configured away is told at construction, as one of our errors."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(f"openssl_conf = first\n[first]\nalg_section = algorithms\n[algorithms]\n{section}\n")
    done = subprocess.run(
        [sys.executable, "-c", TRY, keys],
        env=os.environ | {"OPENSSL_CONF": str(configuration)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.strip() in outcomes, done.stderr
