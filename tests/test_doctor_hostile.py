"""The doctor where files are none, servers odd and signers limited: what it says stays true, bounded and discreet."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from alikassa import CertificateError, ConfigurationError
from alikassa.doctor import network
from alikassa.doctor.asking import Asker, ask
from alikassa.doctor.findings import Language, Level, exit_code
from alikassa.keys import open_signer
from alikassa.profiles import Profile
from alikassa.protocol.signatures import Digest, Signer
from command_line import CONFIGURATION, REFUSED, SERVER, call
from conftest import PAGE_ACCOUNT, PAGE_ANSWER
from test_doctor import bad, found, tls_server
from wire_server import Script, drip, ok, raw, respond, wire_server

Archives = Callable[[str], Path]
Break = Callable[[Path], object]


@pytest.fixture
def archive(archives: Archives, tmp_path: Path) -> Path:
    """A copy of the payout archive, to be broken."""
    return Path(shutil.copytree(archives("payout"), tmp_path / "a copy"))


# What is no file


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(3 * 1024**3)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (pipe, "archive.not_a_file"),
        (folder, "archive.not_a_file"),
        (endless, "archive.not_a_file"),
        (circle, "archive.unreadable"),
        (huge, "archive.too_large"),
    ],
)
@pytest.mark.parametrize("name", ["private.pem", "password.txt", "public.pem"])
def test_what_is_no_file_is_told(archive: Path, name: str, change: Break, code: str) -> None:
    """A pipe does not stop it, a device does not fill the memory; only public.pem can be done without."""
    change(archive / name)
    begun = time.monotonic()
    findings = found(archive, offline=True)
    assert time.monotonic() - begun < 10
    told = [finding for finding in findings if finding.code == code]
    level = Level.WARNING if name == "public.pem" else Level.ERROR
    assert [(one.level, one.values["path"]) for one in told] == [(level, str(archive / name))]
    assert bad(findings) == {code}


@pytest.mark.parametrize("keys", ["~nobody-of-that-name/cert", "x" * 300, "/dev/null"])
def test_a_folder_that_cannot_be_is_a_finding(keys: str) -> None:
    """Somebody unknown's home, a name too long and a device are findings, not tracebacks."""
    done = call("doctor", "--account", PAGE_ACCOUNT, "--keys", keys, "--offline")
    assert done.returncode == CONFIGURATION
    assert done.stderr == ""
    assert "Archive\n  error: " in done.stdout


@pytest.mark.parametrize("option", ["--keys", "--payment-keys"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_key_given_as_its_place_is_not_repeated(archive: Path, option: str, form: tuple[str, ...]) -> None:
    """Who pastes the key itself in place of its folder does not find it in the report."""
    pem = (archive / "private.pem").read_text()
    given = {"--keys": str(archive)} | {option: pem}
    done = call("doctor", "--account", PAGE_ACCOUNT, *(text for pair in given.items() for text in pair), *form)
    assert done.returncode == CONFIGURATION
    printed = done.stdout + done.stderr
    assert "looks like the key itself" in printed
    assert [line for line in pem.splitlines() if line and line in printed] == []


# What is said of an archive


@pytest.mark.parametrize(
    ("change", "able"),
    [
        (lambda text: b"\xef\xbb\xbf" + text, "Node"),
        (lambda text: b" " + text + b" ", "Node, Python"),
        (lambda text: text.decode().encode("utf-16"), "-"),
    ],
)
def test_which_programs_read_what_an_editor_left(archive: Path, change: Callable[[bytes], bytes], able: str) -> None:
    """JavaScript's trim() takes a byte order mark away too, Python's strip() of bytes white space only."""
    file = archive / "password.txt"
    file.write_bytes(change(file.read_bytes()))
    findings = found(archive, offline=True)
    assert [one.values["able"] for one in findings if one.code == "key.programs"] == [able]


@pytest.mark.parametrize("form", [("rsa", "-traditional", "-aria256"), ("pkcs8", "-topk8", "-v2", "aria256")])
def test_a_cipher_that_is_not_known_is_no_wrong_passphrase(archive: Path, form: tuple[str, ...]) -> None:
    """A key under a cipher that cannot be opened here says nothing against its passphrase."""
    passphrase = {"PASS": (archive / "password.txt").read_text()}
    made = archive / "new.pem"
    through = ("-passin", "env:PASS", "-passout", "env:PASS", "-in", archive / "private.pem", "-out", made)
    subprocess.run(["openssl", *form, *through], check=True, capture_output=True, env=os.environ | passphrase)
    made.rename(archive / "private.pem")
    assert bad(found(archive, offline=True)) == {"key.cipher"}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_remedy_for_a_newline_works(archive: Path, end: bytes) -> None:
    """What it says to do, done in a shell, leaves the passphrase exact and closed to others."""
    file = archive / "password.txt"
    passphrase = file.read_bytes()
    file.write_bytes(passphrase + end)
    (finding,) = (one for one in found(archive, offline=True) if one.code == "key.passphrase_newline")
    for language in Language:
        file.write_bytes(passphrase + end)
        subprocess.run(["sh", "-c", finding.words(language).remedy], check=True)
        assert file.read_bytes() == passphrase
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_payment_archive_that_is_of_no_use_is_told(archive: Path, tmp_path: Path) -> None:
    """An archive that was named to find a mix-up, and cannot be used for that, is not passed over."""
    findings = found(archive, offline=True, payment=tmp_path / "nowhere")
    assert bad(findings) == {"archive.payment_unusable"}
    assert exit_code(findings) == 0


# Servers


def refusal(*fields: str) -> Script:
    errors = ",".join(f'"{field}":["?"]' for field in fields)
    return respond(400, f'{{"message":"no","errors":{{{errors}}}}}'.encode())


@pytest.mark.parametrize(
    ("scripts", "codes", "code"),
    [
        pytest.param([refusal("body")], {"refused.request"}, REFUSED, id="every body refused"),
        pytest.param([refusal("sign"), refusal("account")], {"refused.account"}, REFUSED, id="SHA-1, then the account"),
        pytest.param([refusal()], {"refused.sign"}, REFUSED, id="no field named"),
        pytest.param([respond(403, b"<html>")], {"server.forbidden"}, SERVER, id="forbidden"),
        pytest.param([ok(PAGE_ANSWER[:40])], {"server.no_balance"}, SERVER, id="half a balance"),
        pytest.param([ok(b" " * 300_000)], {"server.no_balance"}, SERVER, id="a large answer"),
        pytest.param([ok(), respond(429, b"")], {"server.limited"}, 0, id="taken, then too often"),
        pytest.param([ok(), raw(b"")], {"network.no_answer"}, 0, id="taken, then gone"),
    ],
)
def test_what_a_server_says_is_not_misread(
    archives: Archives, scripts: list[Script], codes: set[str], code: int
) -> None:
    """A refused body is not the signature's fault; what comes after a balance was given is no error."""
    with wire_server(*scripts) as running:
        findings = found(archives("payout"), running.url)
    assert bad(findings) == codes
    assert exit_code(findings) == code
    assert code or "server.takes" in [finding.code for finding in findings]


def test_a_servers_words_are_bounded(archives: Archives) -> None:
    """Of a refusal of ten kilobytes a thousand characters are repeated."""
    texts = ",".join(f'"{"x" * 500}"' for _ in range(20))
    with wire_server(respond(400, f'{{"message":"no","errors":{{"account":[{texts}]}}}}'.encode())) as running:
        (told,) = (one for one in found(archives("payout"), running.url) if one.code == "refused.account")
    assert 900 < len(told.values["said"]) < 1100


class OnlySha256:
    """A signer as a key service is: it makes no SHA-1, and says so when asked for it."""

    digest = Digest.SHA256

    def __init__(self, inner: Signer, problem: type[CertificateError | ConfigurationError]) -> None:
        self._inner = inner
        self._problem = problem

    def sign(self, data: bytes, /) -> bytes:
        return self._inner.sign(data)

    def with_digest(self, digest: Digest, /) -> OnlySha256:
        if digest is Digest.SHA1:
            raise self._problem("No SHA-1 here.", remedy="Use SHA-256.")
        return self


@pytest.mark.parametrize("problem", [ConfigurationError, CertificateError])
@pytest.mark.parametrize(("script", "code"), [(ok(), "server.takes"), (refusal("sign"), "refused.sign")])
def test_a_signer_without_sha1(
    archives: Archives, problem: type[CertificateError | ConfigurationError], script: Script, code: str
) -> None:
    """A key service or an OpenSSL without SHA-1 is no obstacle: SHA-256 is asked with, and what that says is told."""
    with wire_server(script) as running:
        settings = Profile(account=PAGE_ACCOUNT, keys="aws-kms:x", base_url=running.url)
        asker = Asker(settings, OnlySha256(open_signer(archives("payout")), problem), pace=0)
        findings = ask(asker, None, "")
        asker.close()
    assert findings[-1].code == code
    assert "key.unusable" not in [finding.code for finding in findings]
    assert len(running.requests) == 3  # one a body


# The way


@contextmanager
def proxy(script: Script) -> Iterator[str]:
    """A proxy that says this to whatever it is asked."""
    with wire_server(script) as running:
        yield running.url


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (raw(b"HTTP/1.1 407 Who are you\r\n\r\n"), "407"),
        (raw(b"SSH-2.0-x\r\n\r\n"), "no HTTP"),
        (raw(b""), "no HTTP"),
    ],
)
def test_a_proxy_that_refuses_is_told_as_that(script: Script, said: str) -> None:
    """It is not a server without TLS, and its name and password are not printed."""
    with proxy(script) as url:
        address = url.replace("//", "//name:geheim@")
        findings = network.check_network("https://api.example", None, address, 2.0)
    (told,) = (one for one in findings if one.level is Level.ERROR)
    assert (told.code, told.values["said"]) == ("network.proxy_refused", said)
    assert "geheim" not in repr(findings)


def test_a_proxy_may_answer_any_success(tmp_path: Path) -> None:
    """A 2xx is a connection; TLS with the server is spoken over it."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = tls_server(ca, "api.example")

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 201 Fine\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    with proxy(script) as url:
        findings = network.check_network("https://api.example", str(tmp_path / "ca.pem"), url, 2.0)
    assert findings[-1].code == "network.tls"


@pytest.mark.by_the_clock
def test_a_dripping_proxy_has_no_more_time() -> None:
    """A proxy that answers by the byte is given up when the time of one probe is over."""
    begun = time.monotonic()
    with proxy(drip(b"HTTP/1.1 200 " + b"x" * 30, 0.06)) as url:
        findings = network.check_network("https://api.example", None, url, 0.3)
        assert time.monotonic() - begun < 1.8  # the whole reply would take longer
    assert findings[-1].code == "network.tls_failed"


@contextmanager
def full() -> Iterator[tuple[str, int]]:
    """An address that answers nobody: Linux lets no more connect than its queue has room for."""
    with contextlib.ExitStack() as open_ones:
        server = open_ones.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = open_ones.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.mark.by_the_clock
def test_many_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with many addresses, none of which answers, takes as long as one."""
    with contextlib.ExitStack() as kept:
        addresses = [kept.enter_context(full()) for _ in range(8)]
        resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
        begun = time.monotonic()
        findings = network.check_network("https://api.example", None, None, 0.3)
        assert time.monotonic() - begun < 2  # one after the other they would take longer
    assert findings[-1].code == "network.unreachable"
