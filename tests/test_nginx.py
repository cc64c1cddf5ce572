"""The server behind nginx, as contrib/nginx sets it up."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from alikassa import Client
from alikassa.server.settings import Settings
from behind_nginx import OFFICE, Nginx, nginx_before
from cabinet_server import Cabinet, cabinet_served
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, free_port, make_shop, signed
from operator_server import wait_until

BALANCE = "/v1/account/balance"


@pytest.fixture(scope="module")
def cabinet(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    folder = tmp_path_factory.mktemp("served")
    database = f"sqlite:///{folder / 'books.db'}"
    make_shop(database, archives("payout"), archives("payment"))
    with cabinet_served(folder, database, "--trusted-proxy", "127.0.0.1") as served:
        yield served


@pytest.fixture(scope="module")
def nginx(cabinet: Cabinet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    operator = urlsplit(cabinet.url).port or 0
    with nginx_before(tmp_path_factory.mktemp("front") / "nginx", cabinet.server.port, operator) as front:
        yield front


def test_our_client_reaches_the_server(nginx: Nginx, archives: Callable[[str], Path]) -> None:
    """A signed request comes through whole, over TLS that is checked."""
    with Client(PAGE_ACCOUNT, archives("payout"), base_url=nginx.url, ca_bundle=nginx.ca) as client:
        assert client.balance().raw == PAGE_ANSWER


def test_no_log_holds_what_was_signed(nginx: Nginx, cabinet: Cabinet, archives: Callable[[str], Path]) -> None:
    """Neither `Sign` nor the account, though the request is logged; nor the password of somebody who logs in."""
    headers = signed(archives("payout"), b"{}")
    assert nginx.request("localhost", "POST", BALANCE, headers, b"{}")[0] == 200
    assert nginx.request("localhost", "POST", BALANCE, headers | {"Sign": "c29tZXRoaW5n"}, b"{}")[0] == 400
    written = nginx.logs() + cabinet.server.log()
    assert f"POST {BALANCE}" in written
    assert headers["Sign"][:40] not in written
    assert "c29tZXRoaW5n" not in written


def test_what_nginx_refuses_has_the_shape_of_a_refusal(nginx: Nginx, archives: Callable[[str], Path]) -> None:
    """17 KB are too much: 413 as the server itself would answer, and nginx's name is all it says of itself."""
    status, headers, body = nginx.request(
        "localhost", "POST", BALANCE, signed(archives("payout"), b"{}"), b" " * 17 * 1024
    )
    assert (status, headers["content-type"], headers["server"]) == (413, "application/json", "nginx")
    assert json.loads(body) == {
        "message": "The body is too large.",
        "errors": {"body": ["Send at most 16384 bytes."]},
    }


def test_a_refusal_of_the_server_comes_through(nginx: Nginx) -> None:
    """nginx puts no page of its own in the place of the server's words."""
    status, headers, body = nginx.request("localhost", "GET", "/elsewhere")
    assert (status, headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["errors"] == {"request": [f"The balance is asked for at POST {BALANCE}."]}


def test_a_server_that_is_away_is_503(tmp_path: Path) -> None:
    """With the shape of a refusal and a time to come back, so that clients try again."""
    with nginx_before(tmp_path / "nginx", free_port(), free_port()) as front:
        status, headers, body = front.request("localhost", "POST", BALANCE, body=b"{}")
    assert (status, headers["retry-after"], json.loads(body)["message"]) == (503, "1", "Not ready.")


class Upstream(socketserver.ThreadingTCPServer):
    """Answers the first request of a connection, and closes it when the second has arrived."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Upstream.Handler)
        self.asked: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        server: Upstream

        def handle(self) -> None:
            for answered in (True, False):
                head = b"".join(iter(self.rfile.readline, b"\r\n"))
                if not head:
                    return
                self.server.asked.append(self.rfile.read(2))
                if answered:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_what_was_sent_is_not_sent_once_more(tmp_path: Path) -> None:
    """A server that ends in the midst of a request may have used up its nonce. Whoever asked is told 503, and nobody
    asks a second time in their name."""
    with Upstream() as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        try:
            with nginx_before(tmp_path / "nginx", upstream.server_address[1], free_port()) as front:
                answers = [front.request("localhost", "POST", BALANCE, body=b"{}") for _ in range(2)]
        finally:
            upstream.shutdown()
    assert [(status, headers.get("retry-after")) for status, headers, _ in answers] == [(200, None), (503, "1")]
    assert upstream.asked == [b"{}", b"{}"]


def test_a_kept_connection_is_closed_by_nginx_first(nginx: Nginx) -> None:
    """It idles for less time than the server lets it: no request is sent into one that is just being closed."""
    text = (nginx.folder / "alikassa.conf").read_text()
    kept = re.findall(r"^upstream .*?\{.*?keepalive_timeout (\d+)s;", text, re.DOTALL | re.MULTILINE)
    assert len(kept) == 2
    assert max(map(int, kept)) < Settings("").header_seconds


def test_handshakes(nginx: Nginx) -> None:
    """HTTP/2 is offered; below TLS 1.2, or for a name that is not served, there is no handshake."""
    context = nginx.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", nginx.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"
    old = nginx.context()
    with warnings.catch_warnings():
        # Python advises against it, rightly.
        warnings.simplefilter("ignore")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    for context, name, why in ((old, "localhost", "PROTOCOL_VERSION"), (nginx.context(), "elsewhere", "UNRECOGNIZED")):
        with (
            socket.create_connection(("127.0.0.1", nginx.port)) as plain,
            pytest.raises(ssl.SSLError, match=why),
        ):
            context.wrap_socket(plain, server_hostname=name)


def test_the_cabinet_is_on_a_name_of_its_own(nginx: Nginx) -> None:
    """Its pages come whole and unpacked, over a connection that browsers are told to keep secure; merchants' name has
    none of it."""
    status, headers, body = nginx.request(OFFICE, "GET", "/cabinet/login", {"Accept-Encoding": "gzip"})
    assert status == 200
    assert b'name="csrf"' in body
    assert headers["strict-transport-security"]
    assert "secure" in headers["set-cookie"].lower()
    assert nginx.request("localhost", "GET", "/cabinet/login")[0] == 404


def test_who_logs_in_is_who_asked_nginx(nginx: Nginx, cabinet: Cabinet) -> None:
    """The log names the visitor's address, which nobody can choose: what a visitor says of it is dropped."""
    _, headers, body = nginx.request(OFFICE, "GET", "/cabinet/login")
    found = re.search(rb'name="csrf" value="([^"]+)"', body)
    assert found is not None
    sent = {
        "Cookie": headers["set-cookie"].partition(";")[0],
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Forwarded-For": "203.0.113.9",
    }
    form = urlencode({"csrf": found[1].decode(), "login": "owner", "password": "no password of theirs"})
    nginx.request(OFFICE, "POST", "/cabinet/login", sent, form.encode(), source="127.0.0.2")
    wait_until(lambda: "login refused" in cabinet.server.log(), 5)
    said = [json.loads(line) for line in cabinet.server.log().splitlines() if "login refused" in line]
    assert [line["address"] for line in said] == ["127.0.0.2"]
    assert "no password of theirs" not in nginx.logs() + cabinet.server.log()


def test_the_operators_api_is_for_named_networks(nginx: Nginx) -> None:
    """From this machine it asks for a token; any other address is turned away until somebody names it."""
    assert nginx.request(OFFICE, "GET", "/operator/v1/accounts")[0] == 401
    assert nginx.request(OFFICE, "GET", "/operator/v1/accounts", source="127.0.0.2")[0] == 403
    assert nginx.request(OFFICE, "GET", "//operator/v1/accounts", source="127.0.0.2")[0] == 403
    assert nginx.request(OFFICE, "GET", "/cabinet/../%6fperator/v1/accounts", source="127.0.0.2")[0] == 403
    assert nginx.request(OFFICE, "GET", "/cabinet/login", source="127.0.0.2")[0] == 200
