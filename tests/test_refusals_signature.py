"""Signatures that are refused: alike to strangers by default, each with its cause for developers."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line import call, printed
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Server, Shop, make_shop, start_server
from raw_http import PATH, Answer, ask, balance_headers, refusal, request, sign

NO_ACCOUNT = "ffffffff-ffff-4fff-bfff-ffffffffffff"
NO_CERTIFICATES = "11111111-1111-4111-8111-111111111111"
ALL_REVOKED = "22222222-2222-4222-8222-222222222222"

CAUSES = (
    "unknown account",
    "wrong signature",
    "signed another body",
    "another merchant's certificate",
    "payment certificate",
    "revoked certificate",
    "only a revoked certificate",
    "no certificate at all",
    "SHA-1 switched off",
    "too short",
    "too long",
)


@dataclass(frozen=True)
class Refusing:
    """Two servers on one database that holds a case of every cause."""

    uniform: Server
    explain: Server
    database: str
    requests: dict[str, bytes]

    def ask(self, server: Server, cause: str) -> Answer:
        return ask(server, self.requests[cause])


@dataclass(frozen=True)
class Keys:
    payout: Path
    payment: Path
    revoked: Path
    stranger: Path
    no_sha1: Path


def requests(keys: Keys) -> dict[str, bytes]:
    """One request for each cause."""
    good = balance_headers(keys.payout)
    fill = base64.b64encode
    changed: dict[str, dict[str, str | bytes]] = {
        "unknown account": {"Account": NO_ACCOUNT},
        "wrong signature": {"Sign": fill(b"\x01" * 256)},
        "signed another body": {"Sign": sign(keys.payout, b"[]")},
        "another merchant's certificate": {"Sign": sign(keys.stranger, b"{}")},
        "payment certificate": {"Sign": sign(keys.payment, b"{}")},
        "revoked certificate": {"Sign": sign(keys.revoked, b"{}")},
        "only a revoked certificate": {"Sign": sign(keys.stranger, b"{}"), "Account": ALL_REVOKED},
        "no certificate at all": {"Account": NO_CERTIFICATES},
        "SHA-1 switched off": {"Sign": sign(keys.no_sha1, b"{}", "sha1")},
        "too short": {"Sign": fill(b"\x01" * 255)},
        "too long": {"Sign": fill(b"\x01" * 257)},
    }
    return {cause: request((good | change).items()) for cause, change in changed.items()}


@pytest.fixture(scope="module")
def keys(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    more = [folder / name for name in ("revoked", "stranger", "no-sha1")]
    assert [call("keygen", archive).returncode for archive in more] == [0, 0, 0]
    return Keys(archives("payout"), archives("payment"), *more)


@pytest.fixture(scope="module")
def refusing(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusing]:
    """The books are made by the command line. Tests that change them add a merchant of their own."""
    folder = tmp_path_factory.mktemp("refusing")
    database = f"sqlite:///{folder / 'books.db'}"
    shop = make_shop(database, keys.payout, keys.payment)
    at = ("--database", database)

    def certificate(merchant: str, archive: Path, *options: str) -> str:
        owned = ("--merchant", merchant, "--purpose", "payout", *options, *at)
        return str(printed("certificate", "add", archive / "public.pem", *owned)["certificate"])

    def account(merchant: str, uuid: str) -> None:
        printed("account", "open", "--merchant", merchant, "--currency", "RUB", "--uuid", uuid, *at)

    certificate(shop.merchant, keys.no_sha1, "--no-sha1")
    other = printed("merchant", "add", "Other", *at)["merchant"]
    account(other, ALL_REVOKED)
    account(printed("merchant", "add", "Bare", *at)["merchant"], NO_CERTIFICATES)
    for old in (certificate(shop.merchant, keys.revoked), certificate(other, keys.stranger)):
        assert call("certificate", "revoke", old, *at).returncode == 0
    uniform, explain = start_server(folder, database), start_server(folder, database, "--errors", "explain")
    yield Refusing(uniform, explain, database, requests(keys))
    uniform.stop()
    explain.stop()


# Uniform, the default


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause != "wrong signature"])
def test_strangers_cannot_tell_the_causes_apart(refusing: Refusing, cause: str) -> None:
    """By default every cause brings the same status, headers (but the date) and body, to the byte."""
    reference = refusing.ask(refusing.uniform, "wrong signature")
    assert refusing.ask(refusing.uniform, cause).without_own() == reference.without_own()


def test_uniform_refusal_is_under_sign(refusing: Refusing) -> None:
    """The one answer is 400 under `sign`, and it says all that may be wrong."""
    (text,) = refusal(refusing.ask(refusing.uniform, "wrong signature"), 400, "sign")["sign"]
    assert all(word in text for word in ("payout", "payment", "Account", "SHA-256"))


# Explain

EXPLAINED = {
    "unknown account": ("account", [NO_ACCOUNT]),
    "wrong signature": ("sign", ["match", "exact bytes"]),
    "signed another body": ("sign", ["match", "exact bytes"]),
    "another merchant's certificate": ("sign", ["match"]),
    "payment certificate": ("sign", ["payment certificate", "payout certificate"]),
    "revoked certificate": ("sign", ["revoked"]),
    "only a revoked certificate": ("sign", ["revoked"]),
    "no certificate at all": ("sign", ["certificate"]),
    "SHA-1 switched off": ("sign", ["SHA-1", "SHA-256"]),
    "too short": ("sign", ["255", "256"]),
    "too long": ("sign", ["257", "256"]),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_developers_are_told_the_cause(refusing: Refusing, cause: str) -> None:
    """With --errors explain each cause is said under its own field, in its own words."""
    field, words = EXPLAINED[cause]
    (text,) = refusal(refusing.ask(refusing.explain, cause), 400, field)[field]
    assert [word for word in words if word not in text] == [], text


def test_developers_can_tell_the_causes_apart(refusing: Refusing) -> None:
    """Causes that call for different remedies are explained in different words."""
    different = [
        "unknown account",
        "wrong signature",
        "payment certificate",
        "revoked certificate",
        "no certificate at all",
        "SHA-1 switched off",
        "too short",
    ]
    bodies = {refusing.ask(refusing.explain, cause).body for cause in different}
    assert len(bodies) == len(different)


def test_certificate_without_sha1_still_signs_with_sha256(refusing: Refusing, keys: Keys) -> None:
    """SHA-1 switched off takes nothing else away."""
    assert ask(refusing.uniform, request(balance_headers(keys.no_sha1).items())).body == PAGE_ANSWER


def test_sha1_is_switched_off_for_one_certificate_only(refusing: Refusing, keys: Keys) -> None:
    """The merchant's other certificate goes on signing with SHA-1."""
    headers = balance_headers(keys.payout, b"[]", "sha1")
    assert ask(refusing.uniform, request(headers.items(), b"[]")).body == PAGE_ANSWER


# What was accepted a moment ago


def revoke(certificate: str, database: str) -> None:
    done = call("certificate", "revoke", certificate, "--database", database)
    assert done.returncode == 0, done.stderr


def switch_sha1(certificate: str, database: str, how: str) -> None:
    done = call("certificate", "sha1", certificate, how, "--database", database)
    assert done.returncode == 0, done.stderr


def test_revocation_holds_from_the_next_request_on(shop: Shop, serve: Callable[..., Server]) -> None:
    """A server that has just accepted a signature, and remembers it, refuses it once the certificate is revoked."""
    server = serve(shop.database, "--errors", "explain")
    asked = request(balance_headers(shop.payout).items())
    assert [ask(server, asked).status for _ in range(3)] == [200] * 3
    revoke(shop.payout_certificate, shop.database)
    (text,) = refusal(ask(server, asked), 400, "sign")["sign"]
    assert "revoked" in text


def test_sha1_is_refused_from_the_next_request_on(shop: Shop, serve: Callable[..., Server]) -> None:
    """A server that remembers a SHA-1 signature as good refuses it once SHA-1 is switched off."""
    server = serve(shop.database, "--errors", "explain")
    asked = request(balance_headers(shop.payout, digest="sha1").items())
    assert [ask(server, asked).status for _ in range(3)] == [200] * 3
    switch_sha1(shop.payout_certificate, shop.database, "--forbid")
    (text,) = refusal(ask(server, asked), 400, "sign")["sign"]
    assert "SHA-1" in text


@dataclass(frozen=True)
class Newcomer:
    """A merchant with an account of its own, added while the servers run."""

    merchant: str
    account: str
    database: str

    def certify(self, archive: Path) -> str:
        owned = ("--merchant", self.merchant, "--purpose", "payout", "--database", self.database)
        return str(printed("certificate", "add", archive / "public.pem", *owned)["certificate"])


@pytest.fixture
def newcomer(refusing: Refusing) -> Newcomer:
    at = ("--database", refusing.database)
    merchant = str(printed("merchant", "add", "Newcomer", *at)["merchant"])
    account = str(printed("account", "open", "--merchant", merchant, "--currency", "RUB", *at)["account"])
    return Newcomer(merchant, account, refusing.database)


def test_revocation_holds_on_an_open_connection(refusing: Refusing, newcomer: Newcomer, keys: Keys) -> None:
    """A connection that was used before the revocation gives no more balances after it."""
    certificate = newcomer.certify(keys.payout)
    headers = balance_headers(keys.payout, account=newcomer.account)
    connection = refusing.uniform.connect()
    statuses = []
    for before in (None, revoke):
        if before:
            before(certificate, newcomer.database)
        connection.request("POST", PATH, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 400]


def test_sha1_can_be_switched_on_again(refusing: Refusing, newcomer: Newcomer, keys: Keys) -> None:
    """--allow takes back --forbid, also for a signature that was refused in between."""
    certificate = newcomer.certify(keys.payout)
    asked = request(balance_headers(keys.payout, digest="sha1", account=newcomer.account).items())
    switch_sha1(certificate, newcomer.database, "--forbid")
    refused = ask(refusing.uniform, asked).status
    switch_sha1(certificate, newcomer.database, "--allow")
    assert (refused, ask(refusing.uniform, asked).status) == (400, 200)


def test_new_certificate_is_taken_from_the_next_request_on(refusing: Refusing, newcomer: Newcomer, keys: Keys) -> None:
    """A signature that was refused is accepted once its certificate has been added."""
    asked = request(balance_headers(keys.payout, account=newcomer.account).items())
    before = ask(refusing.uniform, asked).status
    newcomer.certify(keys.payout)
    assert (before, ask(refusing.uniform, asked).status) == (400, 200)


# A bearer credential


@pytest.mark.parametrize("mode", ["uniform", "explain"])
def test_signatures_are_never_logged(refusing: Refusing, keys: Keys, mode: str) -> None:
    """The log tells of a refusal, and holds no part of a Sign header, good, refused or malformed."""
    server: Server = getattr(refusing, mode)
    good = sign(keys.payout, b"{}")
    headers = balance_headers(keys.payout)
    for value in (good, f"{good[:76]} {good[76:]}", f"{good}=", good.replace("=", ""), good * 10):
        ask(server, request((headers | {"Sign": value}).items()))
    ask(server, request([*headers.items(), ("Sign", good)]))
    ask(server, request(headers.items(), method="PUT"))
    refusing.ask(server, "payment certificate")
    until = time.monotonic() + 5
    # In uniform mode the cause is looked up after the answer.
    while PAGE_ACCOUNT not in (log := server.log()) and time.monotonic() < until:
        time.sleep(0.02)
    assert PAGE_ACCOUNT in log
    assert not any(part in log for part in (good[:40], good[100:140], sign(keys.payment, b"{}")[:40]))


def test_signature_is_not_told_back(refusing: Refusing, keys: Keys) -> None:
    """An explanation of what is wrong with a Sign header does not repeat it."""
    good = sign(keys.payout, b"{}")
    answer = ask(refusing.explain, request((balance_headers(keys.payout) | {"Sign": f"{good} x"}).items()))
    assert good[:40] not in answer.body.decode()
