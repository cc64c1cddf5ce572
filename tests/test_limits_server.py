"""Limits on a real server. Behind a trusted proxy, so that addresses can be told: this machine is never charged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import PAGE_ACCOUNT, Server
from raw_http import PATH, balance_headers, shop_server

WRONG = "A" * 342 + "=="


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Server]:
    options = ("--trusted-proxy", "127.0.0.1", "--limit-address", "40/minute", "--limit-failed", "5/minute")
    with shop_server(tmp_path_factory.mktemp("limits"), archives, *options, "--limit-account", "60/minute") as started:
        yield started


def ask(server: Server, archive: Path, address: str, **changes: str) -> tuple[int, dict[str, str], bytes]:
    headers = {name: str(value) for name, value in balance_headers(archive).items()}
    forwarded = {"X-Forwarded-For": f"6.6.6.6, {address}"} if address else {}
    return server.request("POST", PATH, headers | forwarded | changes, b"{}")


def test_limits(server: Server, archives: Callable[[str], Path]) -> None:
    """A stranger who guesses is told to wait, whatever account he names; the merchant goes on, until the account's own
    limit; the address's own holds before anything is read. Each 429 says when to come back."""
    archive = archives("payout")
    assert ask(server, archive, "198.51.100.9")[0] == 200
    guessed = [ask(server, archive, "203.0.113.7", Sign=WRONG)[0] for _ in range(20)]
    assert guessed[:5] == [400] * 5
    assert guessed[8:] == [429] * 12
    assert ask(server, archive, "203.0.113.7")[0] == 200, "a signature that is known costs nothing to look at"
    asked = [ask(server, archive, "198.51.100.1")[0] for _ in range(60)]
    assert asked[:40] == [200] * 40
    assert set(asked[40:]) == {429}
    other = [ask(server, archive, "198.51.100.2")[0] for _ in range(39)]
    assert other[:10] == [200] * 10
    assert 429 in other, "the account's own limit"
    status, headers, body = ask(server, archive, "198.51.100.1")
    assert status == 429
    assert int(headers["retry-after"]) >= 1
    assert body.startswith(b'{"message":"Too many requests."')
    assert PAGE_ACCOUNT.encode() not in body


def test_an_unreadable_address_is_no_way_around(server: Server, archives: Callable[[str], Path]) -> None:
    """The web server drops a header that is not plain ASCII. Its visitors are charged together, not as the proxy on
    this machine."""
    addresses = ["203.0.113.20\xe9", "\xff"] * 10
    guessed = [ask(server, archives("payout"), address, Sign=WRONG)[0] for address in addresses]
    assert guessed[:5] == [400] * 5
    assert guessed[8:] == [429] * 12


def test_a_certificate_has_its_own_limit(tmp_path: Path, archives: Callable[[str], Path]) -> None:
    """What it signed is charged to it, from whatever address, known or new, and nothing that it did not sign."""
    options = ("--trusted-proxy", "127.0.0.1", "--limit-certificate", "10/hour")
    with shop_server(tmp_path, archives, *options) as server:
        archive = archives("payout")
        assert {ask(server, archive, "203.0.113.7", Sign=WRONG)[0] for _ in range(20)} == {400}
        addresses = [f"198.51.100.{n}" for n in range(20)]
        assert [ask(server, archive, one)[0] for one in addresses] == [200] * 10 + [429] * 10
        status, headers, _ = ask(server, archive, "")
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        body = b'{"signed": "now"}'
        new = {name: str(value) for name, value in balance_headers(archive, body).items()}
        assert server.request("POST", PATH, new, body)[0] == 429
        assert ask(server, archive, "203.0.113.7", Sign=WRONG)[0] == 400, "who has no key is told nothing of it"


def test_this_machine_is_never_charged(server: Server, archives: Callable[[str], Path]) -> None:
    """Without a forwarded address the proxy itself asks: a health check, say."""
    assert {
        ask(server, archives("payout"), "", Account="4f1c2d7e-5a0b-4c3d-9e8f-60718293a4b5")[0] for _ in range(60)
    } == {400}
