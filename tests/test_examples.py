"""The clients in `examples/`, and requests as the provider's samples send them, against the real server."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import trustme

from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Server, cli_json, openssl_sign, run_cli, start_server

EXAMPLES = Path(__file__).parents[1] / "examples"
LANGUAGES = ("php", "node", "python", "java", "go")
#: Takes only requests that are good once.
FRESH_ACCOUNT = "a3d5df06-996c-48c3-9847-348d6b580b81"
FIVE_LINES = """\
currency RUB
balance 93.84000000
hold 0.00000000
rolling_reserve 0.00000000
pending_payouts 1234.00000000
"""
CONFIGURATION, REFUSED, NETWORK, SERVER = 3, 4, 5, 6  # exit codes

JARS = [
    Path("/usr/share/java", f"{name}.jar")
    for name in ("bcprov", "bcpkix", "bcutil", "jackson-core", "jackson-databind", "jackson-annotations")
]
JAVA_PACKAGES = (
    "openjdk-17-jdk-headless libbcprov-java libbcpkix-java libbcutil-java "
    "libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java"
)


def environment(**settings: str) -> dict[str, str]:
    """The surroundings without what could lead an example elsewhere: our own settings, and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIKASSA_") and not name.lower().endswith("_proxy")
    }
    return kept | settings


# Toolchains


def missing(what: str, packages: str) -> None:
    """Skips the test, or fails it where every toolchain has to be there."""
    reason = f"{what} not found; Debian's packages: {packages}"
    if os.environ.get("ALIKASSA_REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def require(program: str, packages: str) -> None:
    if shutil.which(program) is None:
        missing(program, packages)


def prepare_php(scratch: Path) -> list[str]:
    require("php", "php-cli php-curl")
    extensions = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout.split()
    if "curl" not in extensions:
        missing("PHP's curl extension", "php-curl")
    return ["php", str(EXAMPLES / "php/balance.php")]


def prepare_node(scratch: Path) -> list[str]:
    require("node", "nodejs")
    return ["node", str(EXAMPLES / "node/balance.mjs")]


def prepare_python(scratch: Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python/balance.py")]


def prepare_java(scratch: Path) -> list[str]:
    require("javac", JAVA_PACKAGES)
    if not all(jar.exists() for jar in JARS):
        missing("a jar of BouncyCastle or Jackson in /usr/share/java", JAVA_PACKAGES)
    jars = ":".join(map(str, JARS))
    source = EXAMPLES / "java/Balance.java"
    if not (scratch / "Balance.class").exists():
        subprocess.run(["javac", "-cp", jars, "-d", str(scratch), str(source)], check=True, timeout=300)
    return ["java", "-cp", f"{scratch}:{jars}", "Balance"]


def prepare_go(scratch: Path) -> list[str]:
    require("go", "golang-go")
    program = scratch / "balance"
    if program.exists():
        return [str(program)]
    settings = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }
    if not os.environ.get("HOME"):
        settings |= {"GOCACHE": str(scratch / "cache"), "GOPATH": str(scratch / "path")}
    surroundings = environment(**settings)
    # These tests' caches are empty, and Go would compile its whole library anew: ten seconds and more.
    surroundings.pop("XDG_CACHE_HOME", None)
    subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=EXAMPLES / "go", env=surroundings, check=True, timeout=300
    )
    return [str(program)]


PREPARATIONS = {
    "php": prepare_php,
    "node": prepare_node,
    "python": prepare_python,
    "java": prepare_java,
    "go": prepare_go,
}


@functools.cache
def command_of(language: str, base: Path) -> list[str]:
    """The command that runs a language's example. `base` is the folder of this process's tests.

    It is compiled once, though several processes test: beside their folders there is one that they share.
    """
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"example-{language}"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return PREPARATIONS[language](shared)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Gives the command that runs a language's example."""
    return lambda language: command_of(language, tmp_path_factory.getbasetemp())


# The server


@dataclass(frozen=True)
class Books:
    """A database with the page's account, and the archive that may ask for its balance."""

    database: str
    archive: Path


@pytest.fixture(scope="session")
def books(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Books:
    """Made by the command line alone, as an operator would."""
    archive = archives("payout")
    database = f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}"
    at = ("--database", database)
    merchant = cli_json("merchant", "add", "Example", *at)["merchant"]
    owned = ("--merchant", merchant, *at)
    cli_json("certificate", "add", archive / "public.pem", "--purpose", "payout", *owned)
    cli_json("account", "open", "--currency", "RUB", "--uuid", PAGE_ACCOUNT, *owned)
    for bucket, amount in (("balance", "93.84"), ("pending_payouts", "1234")):
        entry = ("--bucket", bucket, "--amount", amount, "--reference", f"first-{bucket}", "--reason", "opening")
        done = run_cli("account", "adjust", PAGE_ACCOUNT, *entry, *at)
        assert done.returncode == 0, done.stderr
    return Books(database, archive)


@pytest.fixture(scope="session")
def server(books: Books, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over HTTPS, with a certificate of a private authority."""
    running = start_server(tmp_path_factory.mktemp("https"), books.database, tls=True)
    yield running
    running.stop()


# The examples


def ask(command: list[str], server: Server, books: Books, **settings: str) -> subprocess.CompletedProcess[str]:
    defaults = {
        "ALIKASSA_BASE_URL": server.url,
        "ALIKASSA_ACCOUNT": PAGE_ACCOUNT,
        "ALIKASSA_KEYS": str(books.archive),
        "ALIKASSA_CA_BUNDLE": str(server.ca or ""),
    }
    return subprocess.run(
        command,
        env=environment(**(defaults | settings)),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_shows_the_balance(language: str, command: Callable[[str], list[str]], server: Server, books: Books) -> None:
    """The example prints the five fields, exactly, and succeeds."""
    done = ask(command(language), server, books)
    assert (done.returncode, done.stdout, done.stderr) == (0, FIVE_LINES, "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_asks_so_that_each_request_is_good_once(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books
) -> None:
    """An account that requires it answers the example that was told so, and refuses it otherwise."""
    fresh = ("account", "fresh", FRESH_ACCOUNT, "--database", books.database)
    owner = cli_json("account", "list", "--database", books.database)[0]["merchant"]
    if all(one["account"] != FRESH_ACCOUNT for one in cli_json("account", "list", "--database", books.database)):
        owned = ("--merchant", owner, "--currency", "EUR", "--uuid", FRESH_ACCOUNT, "--database", books.database)
        cli_json("account", "open", *owned)
        cli_json(*fresh, "--require")
    settings = {"ALIKASSA_ACCOUNT": FRESH_ACCOUNT}
    assert ask(command(language), server, books, **settings).returncode == REFUSED
    done = ask(command(language), server, books, **settings, ALIKASSA_FRESH="1")
    assert (done.returncode, done.stdout.splitlines()[:1], done.stderr) == (0, ["currency EUR"], "")


def test_java_shows_the_balance_over_plain_http(
    command: Callable[[str], list[str]], serve: Callable[..., Server], books: Books
) -> None:
    """Java's client, which offers an upgrade to h2c over plain HTTP, gets its answer there too."""
    done = ask(command("java"), serve(books.database), books)
    assert (done.returncode, done.stdout, done.stderr) == (0, FIVE_LINES, "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_tells_why_the_server_refused(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books
) -> None:
    """With an unknown account the example exits with 4 and prints the server's message and reasons."""
    unknown = str(uuid.uuid4())
    refusal = post(server, books, b"{}", "sha256", account=unknown).json()
    done = ask(command(language), server, books, ALIKASSA_ACCOUNT=unknown)
    reasons = [f"  {field}: {text}" for field, texts in refusal["errors"].items() for text in texts]
    expected = [f"The server refused the request: {refusal['message']}", *reasons]
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (REFUSED, "", expected)


@pytest.mark.parametrize("language", LANGUAGES)
def test_checks_the_servers_certificate(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books, tmp_path: Path
) -> None:
    """The example takes no answer from a server whose certificate another authority has signed."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    done = ask(command(language), server, books, ALIKASSA_CA_BUNDLE=str(other))
    assert (done.returncode, done.stdout) == (NETWORK, ""), done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_never_prints_a_secret(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books
) -> None:
    """No message holds the passphrase or the Sign header: neither when refused, nor when there is no answer."""
    require("openssl", "openssl")
    secrets = (openssl_sign(books.archive, b"{}"), (books.archive / "password.txt").read_text())
    refused = ask(command(language), server, books, ALIKASSA_ACCOUNT=str(uuid.uuid4()))
    unanswered = ask(command(language), server, books, ALIKASSA_BASE_URL="https://127.0.0.1:1")
    printed = refused.stdout + refused.stderr + unanswered.stdout + unanswered.stderr
    assert not any(secret in printed for secret in secrets)


@pytest.mark.parametrize("language", LANGUAGES)
def test_refuses_a_wrong_passphrase(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books, tmp_path: Path
) -> None:
    """A passphrase that does not open the key is a mistake in the configuration."""
    shutil.copy(books.archive / "private.pem", tmp_path)
    (tmp_path / "password.txt").write_text("wrong")
    done = ask(command(language), server, books, ALIKASSA_KEYS=str(tmp_path))
    assert (done.returncode, done.stdout) == (CONFIGURATION, ""), done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_takes_no_other_status_for_an_answer(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books
) -> None:
    """A path that the server does not know (404) is neither a balance nor a refusal."""
    done = ask(command(language), server, books, ALIKASSA_BASE_URL=f"{server.url}/nowhere")
    assert (done.returncode, done.stdout) == (SERVER, ""), done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_sends_nothing_in_clear_to_another_machine(
    language: str, command: Callable[[str], list[str]], server: Server, books: Books
) -> None:
    """Plain HTTP to another machine is a mistake in the configuration, not a network error."""
    done = ask(command(language), server, books, ALIKASSA_BASE_URL="http://alikassa.invalid")
    assert (done.returncode, done.stdout) == (CONFIGURATION, ""), done.stderr


# The provider's samples


def post(
    server: Server, books: Books, body: bytes, digest: str, *, account: str = PAGE_ACCOUNT, chunked: bool = False
) -> requests.Response:
    require("openssl", "openssl")
    return requests.post(
        f"{server.url}/v1/account/balance",
        data=iter([body]) if chunked else body,
        headers={
            "Content-Type": "application/json",
            "Account": account,
            "Sign": openssl_sign(books.archive, body, digest),
        },
        verify=str(server.ca),
        timeout=30,
    )


@pytest.mark.parametrize(
    ("body", "digest", "chunked"),
    [
        pytest.param(b"[]", "sha1", False, id="php"),
        pytest.param(b"{}", "sha256", True, id="node"),
        pytest.param(b"null", "sha256", False, id="go"),
    ],
)
def test_answers_the_samples_own_requests(
    server: Server, books: Books, body: bytes, digest: str, *, chunked: bool
) -> None:
    """A request as a sample of the provider's page frames and signs it gets the balance, to the byte."""
    response = post(server, books, body, digest, chunked=chunked)
    assert (response.status_code, response.content) == (200, PAGE_ANSWER)
