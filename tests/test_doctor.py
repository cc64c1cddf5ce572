"""What the doctor says of broken archives, of servers that refuse, and of the way to them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trustme
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from alikassa.doctor.examine import Examination, examine
from alikassa.doctor.findings import Finding, Language, Level, exit_code
from alikassa.doctor.texts import TEXTS
from alikassa.profiles import Profile
from command_line import CONFIGURATION, NETWORK, REFUSED, SERVER, USAGE, call
from conftest import (
    ALIKASSA,
    PAGE_ACCOUNT,
    PAGE_ANSWER,
    Server,
    make_shop,
    nobodys_environment,
    openssl_sign,
    start_server,
)
from raw_http import shop_server
from wire_server import ok, raw, respond, silence, wire_server

UNKNOWN = "ffffffff-ffff-4fff-bfff-ffffffffffff"
Archives = Callable[[str], Path]
Break = Callable[[Path, Archives], object]


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def found(folder: Path, url: str = "https://127.0.0.1:1", **settings: object) -> list[Finding]:
    """What the doctor finds, without pauses."""
    payment, offline = settings.pop("payment", None), settings.pop("offline", False)
    seconds = settings.pop("seconds", 5.0)
    profile = Profile(**({"account": PAGE_ACCOUNT, "keys": str(folder), "base_url": url} | settings))  # type: ignore[arg-type]
    what = Examination(profile, None if payment is None else str(payment), bool(offline), float(str(seconds)), pace=0)
    return [finding for step in examine(what) for finding in step]


def bad(findings: list[Finding]) -> set[str]:
    """The codes of what is wrong."""
    return {finding.code for finding in findings if finding.level in (Level.WARNING, Level.ERROR)}


# Archives


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Break:
    return lambda folder, _: (folder / name).write_bytes(change((folder / name).read_bytes()))


def take(name: str, other: str) -> Break:
    """A file of another archive in its place."""
    return lambda folder, archives: shutil.copy(archives(other) / name, folder / name)


def new_key(*arguments: str) -> Break:
    """Another key in its place, with a fitting passphrase and without public.pem."""

    def change(folder: Path, archives: Archives) -> None:
        (folder / "public.pem").unlink()
        (folder / "private.pem").unlink()
        openssl(*arguments, "-out", folder / "private.pem")
        (folder / "private.pem").chmod(0o600)

    return change


def certify(folder: Path, archives: Archives) -> None:
    openssl(
        *("req", "-x509", "-key", folder / "private.pem", "-passin", f"file:{folder / 'password.txt'}"),
        *("-subj", "/CN=shop", "-out", folder / "public.pem"),
    )


BROKEN: dict[str, tuple[Break, set[str], int]] = {
    "nothing": (lambda folder, _: None, set(), 0),
    "no folder": (lambda folder, _: shutil.rmtree(folder), {"archive.missing"}, 3),
    "no private.pem": (lambda folder, _: (folder / "private.pem").unlink(), {"archive.private_missing"}, 3),
    "no password.txt": (lambda folder, _: (folder / "password.txt").unlink(), {"archive.passphrase_missing"}, 3),
    "no public.pem": (lambda folder, _: (folder / "public.pem").unlink(), set(), 0),
    "wrong passphrase": (rewrite("password.txt", lambda _: b"guess"), {"key.passphrase_wrong"}, 3),
    "newline": (rewrite("password.txt", lambda text: text + b"\n"), {"key.passphrase_newline"}, 0),
    "CRLF": (rewrite("password.txt", lambda text: text + b"\r\n"), {"key.passphrase_newline"}, 0),
    "BOM": (rewrite("password.txt", lambda text: b"\xef\xbb\xbf" + text), {"key.passphrase_spoilt"}, 3),
    "UTF-16": (rewrite("password.txt", lambda text: text.decode().encode("utf-16")), {"key.passphrase_spoilt"}, 3),
    "spaces": (rewrite("password.txt", lambda text: b" " + text), {"key.passphrase_spoilt"}, 3),
    "another archive's public.pem": (take("public.pem", "stranger"), {"key.public_other"}, 3),
    "another archive's private.pem": (take("private.pem", "stranger"), {"key.passphrase_wrong"}, 3),
    "the payment archive's public.pem": (take("public.pem", "payment"), {"key.public_of_payment"}, 3),
    "a certificate in place of the public key": (certify, {"key.public_certificate"}, 0),
    "a public key as private.pem": (
        lambda folder, _: shutil.copy(folder / "public.pem", folder / "private.pem"),
        {"key.not_private", "archive.open_to_others"},
        3,
    ),
    "readable by others": (lambda folder, _: (folder / "private.pem").chmod(0o644), {"archive.open_to_others"}, 0),
    "an EC key": (
        new_key("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        {"key.not_rsa", "key.unencrypted"},
        3,
    ),
    "1024 bits": (
        new_key("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
        {"key.size", "key.unencrypted"},
        3,
    ),
    "damaged": (rewrite("private.pem", lambda pem: pem[:300] + pem[340:]), {"key.passphrase_wrong"}, 3),
    "not a key": (rewrite("private.pem", lambda _: b"hello"), {"key.not_private"}, 3),
}


@pytest.fixture
def archive(archives: Archives, tmp_path: Path) -> Path:
    """A copy of the payout archive, to be broken."""
    return Path(shutil.copytree(archives("payout"), tmp_path / "copy"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_diagnosed(name: str, archive: Path, archives: Archives) -> None:
    """Exactly what was broken is told, and the exit code says whether a request could be made."""
    change, codes, code = BROKEN[name]
    change(archive, archives)
    findings = found(archive, offline=True, payment=archives("payment"))
    assert bad(findings) == codes
    assert exit_code(findings) == code


def test_both_archives_with_the_same_key(archives: Archives) -> None:
    """One archive under two names is found out."""
    assert bad(found(archives("payout"), offline=True, payment=archives("payout"))) == {"key.same_as_payment"}


@pytest.mark.parametrize(
    ("pkcs8", "newline", "unable"),
    [(True, False, "Java, Go"), (False, True, "PHP, Java, Go"), (True, True, "PHP, Java, Go")],
)
def test_which_programs_read_it(pkcs8: bool, newline: bool, unable: str, tmp_path: Path) -> None:
    """Of the page's programs, Java's and Go's read no PKCS#8, and they and PHP's no passphrase with a newline."""
    assert call("keygen", tmp_path / "new", *(["--pkcs8"] if pkcs8 else [])).returncode == 0
    if newline:
        with (tmp_path / "new" / "password.txt").open("a") as file:
            file.write("\n")
    findings = found(tmp_path / "new", offline=True)
    assert [one.values["unable"] for one in findings if one.code == "key.programs"] == [unable]


# Servers that are ours


@pytest.fixture(scope="module")
def server(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shop_server(tmp_path_factory.mktemp("server"), archives) as running:
        yield running


def test_all_is_well(server: Server, archives: Archives) -> None:
    """A request that is taken is told, with what else the server takes."""
    findings = found(archives("payout"), server.url)
    assert bad(findings) == set()
    assert exit_code(findings) == 0
    assert [one.values["takes"] for one in findings if one.code == "server.takes"] == ["sha256, sha1; {} [] null"]


def test_the_payment_archive_was_taken(server: Server, archives: Archives) -> None:
    """With both archives, asking with the other one proves that they are mixed up."""
    findings = found(archives("payment"), server.url, payment=archives("payout"))
    assert bad(findings) == {"refused.payment"}
    assert exit_code(findings) == REFUSED


@pytest.mark.parametrize(
    ("keys", "account", "payment", "likeliest"),
    [
        ("payment", PAGE_ACCOUNT, None, "refused.maybe_payment"),
        ("payout", UNKNOWN, "payment", "refused.maybe_other_key"),
        ("stranger", PAGE_ACCOUNT, "payment", "refused.maybe_other_key"),
    ],
)
def test_a_uniform_answer_leaves_causes(
    server: Server, archives: Archives, keys: str, account: str, payment: str | None, likeliest: str
) -> None:
    """Our own server tells a stranger nothing: the causes are listed, each with the check that tells it apart."""
    folder = None if payment is None else archives(payment)
    findings = found(archives(keys), server.url, account=account, payment=folder)
    assert bad(findings) == {"refused.sign"}
    causes = findings[-1].causes
    assert causes[0].code == likeliest
    assert "refused.maybe_account" in [cause.code for cause in causes]
    assert all(cause.words(Language.EN).remedy.startswith("Tell apart: ") for cause in causes)
    assert exit_code(findings) == REFUSED


def test_certificates_switched_off(archives: Archives, tmp_path: Path) -> None:
    """SHA-1 forbidden, then the certificate revoked: the first is found by asking, the second in the server's words."""
    shop = make_shop(f"sqlite:///{tmp_path / 'books.db'}", archives("payout"), archives("payment"))
    payout = json.loads(call("certificate", "list", "--database", shop.database, "--json").stdout)
    id_ = next(one["certificate"] for one in payout if one["purpose"] == "payout")
    running = start_server(tmp_path, shop.database, "--errors", "explain")
    try:
        assert call("certificate", "sha1", id_, "--forbid", "--database", shop.database).returncode == 0
        findings = found(archives("payout"), running.url, digest="sha1")
        assert [(one.code, one.values["right"]) for one in findings if one.level is Level.ERROR] == [
            ("refused.digest", "sha256")
        ]
        assert call("certificate", "revoke", id_, "--database", shop.database).returncode == 0
        findings = found(archives("payout"), running.url)
        assert bad(findings) == {"refused.sign"}
        assert findings[-1].causes[0].code == "refused.maybe_revoked"
    finally:
        running.stop()


# Servers that are particular


@contextmanager
def particular(archive: Path, digest: hashes.HashAlgorithm, body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes this digest and body and refuses all else alike. Its URL, and the bodies it was sent."""
    key = serialization.load_pem_public_key((archive / "public.pem").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    public = key
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(sent)
            try:
                public.verify(base64.b64decode(self.headers["Sign"]), sent, padding.PKCS1v15(), digest)
                good = sent == body
            except InvalidSignature:
                good = False
            # A careless server: it repeats what it was sent.
            refusal = json.dumps({"message": "no", "errors": {"sign": ["bad: " + self.headers["Sign"]]}}).encode()
            content = PAGE_ANSWER if good else refusal
            self.send_response(200 if good else 400)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", asked
        finally:
            running.shutdown()
            thread.join()


SHA1, SHA256 = hashes.SHA1(), hashes.SHA256()  # noqa: S303 the wire contract's


@pytest.mark.parametrize(
    ("digest", "body", "codes"),
    [
        (SHA1, b"{}", {"refused.digest": "sha1"}),
        (SHA256, b"[]", {"refused.body": "[]"}),
        (SHA256, b"null", {"refused.body": "null"}),
        (SHA1, b"[]", {"refused.digest": "sha1", "refused.body": "[]"}),
    ],
)
def test_a_particular_server(
    archives: Archives, digest: hashes.HashAlgorithm, body: bytes, codes: dict[str, str]
) -> None:
    """What the server takes is found by asking, and told as the option to give."""
    with particular(archives("payout"), digest, body) as (url, asked):
        findings = found(archives("payout"), url)
    assert {one.code: one.values["right"] for one in findings if one.level is Level.ERROR} == codes
    assert len(asked) <= 8


def test_it_asks_at_most_eight_times(archives: Archives) -> None:
    """A server that refuses everything is asked eight times, and no more."""
    with particular(archives("stranger"), SHA256, b"{}") as (url, asked):
        found(archives("payout"), url, payment=archives("payment"))
    assert len(asked) == 8


@pytest.mark.parametrize("form", [(), ("--json",), ("--lang", "ru")])
def test_nothing_secret_is_printed(archives: Archives, form: tuple[str, ...]) -> None:
    """Neither Sign (though the server repeats it), nor passphrase, nor a line of the key is in what is printed."""
    archive = archives("payout")
    with particular(archives("stranger"), SHA256, b"{}") as (url, _):
        done = call("doctor", "--account", PAGE_ACCOUNT, "--keys", archive, "--base-url", url, *form)
    assert done.returncode == REFUSED
    printed = done.stdout + done.stderr
    secrets = [(archive / "password.txt").read_text(), *(archive / "private.pem").read_text().splitlines()[4:-1]]
    secrets += [
        openssl_sign(archive, body, digest) for body in (b"{}", b"[]", b"null") for digest in ("sha1", "sha256")
    ]
    assert [secret for secret in secrets if secret in printed] == []


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
LATE = respond(200, PAGE_ANSWER, Date="Mon, 01 Jan 2024 00:00:00 GMT")


@pytest.mark.parametrize(
    ("script", "codes", "code"),
    [
        (raw(HTML), {"server.not_api"}, SERVER),
        (respond(404, b'{"message":"Not found","errors":{}}'), {"server.not_api"}, SERVER),
        (respond(302, b"", Location="/login"), {"server.not_api"}, SERVER),
        (respond(429, b'{"message":"slow","errors":{}}'), {"server.limited"}, SERVER),
        (respond(500, b'{"message":"oops","errors":{}}'), {"server.failed"}, SERVER),
        (respond(400, b'{"message":"no","errors":{"account":["unknown"]}}'), {"refused.account"}, REFUSED),
        (respond(400, b'{"message":"no","errors":{"account":["?"],"sign":["?"]}}'), {"refused.account"}, REFUSED),
        (respond(400, b'{"message":"no","errors":{"content_type":["?"]}}'), {"refused.request"}, REFUSED),
        (silence(2), {"network.no_answer"}, NETWORK),
        (LATE, {"network.clock"}, 0),
    ],
)
def test_what_answers_otherwise(archives: Archives, script: Callable[..., None], codes: set[str], code: int) -> None:
    """An answer that is no balance is told for what it is, and not asked for again."""
    with wire_server(script) as running:
        findings = found(archives("payout"), running.url, seconds=0.5)
        assert bad(findings) == codes
        assert exit_code(findings) == code
        assert code == 0 or len(running.requests) == 1


def test_429_ends_the_asking(archives: Archives) -> None:
    """A server that says 429 in the middle is not asked again."""
    refused = respond(400, b'{"message":"no","errors":{"sign":["?"]}}')
    with wire_server(refused, refused, respond(429, b'{"message":"slow","errors":{}}')) as running:
        assert bad(found(archives("payout"), running.url)) == {"server.limited"}
        assert len(running.requests) == 3


# The way to the server


def tls_server(ca: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = datetime.now(UTC) - timedelta(days=1) if expired else None
    ca.issue_cert(*names, not_after=until).configure_cert(context)
    return context


def self_signed(folder: Path) -> ssl.SSLContext:
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "k.pem", "-out", folder / "c.pem"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c.pem", folder / "k.pem")
    return context


@pytest.mark.parametrize("kind", ["network.tls", "tls_expired", "tls_host", "tls_unknown_ca", "tls_self_signed"])
def test_what_is_wrong_with_tls(kind: str, archives: Archives, tmp_path: Path) -> None:
    """The reasons why a TLS certificate is not trusted are told apart, and nothing is asked then."""
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = {
        "network.tls": lambda: tls_server(ca, "127.0.0.1"),
        "tls_expired": lambda: tls_server(ca, "127.0.0.1", expired=True),
        "tls_host": lambda: tls_server(ca, "elsewhere.example"),
        "tls_unknown_ca": lambda: tls_server(other, "127.0.0.1"),
        "tls_self_signed": lambda: self_signed(tmp_path),
    }[kind]()
    with wire_server(ok(), tls=context) as running:
        findings = found(archives("payout"), running.url, ca_bundle=str(tmp_path / "ca.pem"))
        if kind == "network.tls":
            assert bad(findings) == set()
            assert kind in [one.code for one in findings]
        else:
            assert bad(findings) == {f"network.{kind}"}
            assert exit_code(findings) == NETWORK
            assert running.requests == []


def test_plain_http_where_tls_was_expected(archives: Archives) -> None:
    """A port that speaks no TLS is told as that."""
    with wire_server(raw(b"HTTP/1.1 400 Bad\r\n\r\n")) as running:
        url = running.url.replace("http:", "https:")
        assert bad(found(archives("payout"), url, seconds=1.0)) == {"network.tls_failed"}


def test_nobody_listens(archives: Archives, unused_port: int) -> None:
    """A closed port is a network error that names the port."""
    assert bad(found(archives("payout"), f"https://127.0.0.1:{unused_port}")) == {"network.refused"}


def test_a_name_that_is_none(archives: Archives) -> None:
    """A host that DNS does not know is told as that."""
    findings = found(archives("payout"), "https://api.example.invalid")
    assert bad(findings) == {"network.dns"}
    assert exit_code(findings) == NETWORK


# The command


def test_a_malformed_account_is_a_finding(archives: Archives) -> None:
    """A uuid in braces is told in words, before anybody is asked."""
    done = call("doctor", "--account", "{" + PAGE_ACCOUNT + "}", "--keys", archives("payout"), "--json")
    assert done.returncode == CONFIGURATION
    assert "settings.account" in [one["code"] for one in json.loads(done.stdout)["findings"]]


def test_no_account_is_usage() -> None:
    """Without an account there is nothing to examine."""
    assert call("doctor", "--offline").returncode == USAGE


def test_a_report_is_grouped_and_without_colours(archives: Archives) -> None:
    """Into a file, findings stand under their area's title, without escape sequences."""
    done = call("doctor", "--account", PAGE_ACCOUNT, "--keys", archives("payout"), "--offline")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == ["Archive", "Key"]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours(archives: Archives, no_color: str, coloured: bool) -> None:
    """On a real pseudo-terminal levels are coloured, unless NO_COLOR asks for none."""
    main, end = pty.openpty()
    arguments = ("doctor", "--account", PAGE_ACCOUNT, "--keys", str(archives("payout")), "--offline")
    environment = nobodys_environment() | {"NO_COLOR": no_color, "TERM": "xterm"}
    process = subprocess.Popen([ALIKASSA, *arguments], stdout=end, stderr=subprocess.DEVNULL, env=environment)
    os.close(end)
    printed = b""
    with contextlib.suppress(OSError):  # Linux says so at the end
        while chunk := os.read(main, 4096):
            printed += chunk
    os.close(main)
    assert process.wait(timeout=30) == 0
    assert b"public.pem belongs" in printed
    assert (b"\x1b[32m" in printed) == coloured


@pytest.mark.parametrize("code", TEXTS)
def test_both_languages_say_the_same(code: str) -> None:
    """Each finding has found, meaning and remedy in both languages or in neither, with the same values in them."""
    text = TEXTS[code]
    for english, russian in zip(text.en, text.ru, strict=True):
        assert bool(english) == bool(russian)
        assert set(fields(english)) == set(fields(russian))


def fields(text: str) -> Iterator[str]:
    import string

    return (name for _, name, _, _ in string.Formatter().parse(text) if name is not None)
