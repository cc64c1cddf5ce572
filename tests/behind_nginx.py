"""A real nginx with the configuration from contrib, in front of a real server."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
import trustme

from conftest import free_port

CONTRIB = Path(__file__).parent.parent / "contrib"
OFFICE = "office.example.com"


def require(program: str, package: str) -> str:
    """Where the program is. Without it the test is skipped, or fails where every program has to be there."""
    # Debian keeps them where only the administrator's shell looks.
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        reason = f"{program} not found; Debian's package: {package}"
        if os.environ.get("ALIKASSA_REQUIRE_TOOLCHAINS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class _Named(HTTPSConnection):
    """To this machine, by a name that no resolver knows, from any of its addresses."""

    def connect(self) -> None:
        source, context = self.source_address, self._context  # type: ignore[attr-defined]
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=source)
        self.sock = context.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True)
class Nginx:
    """Merchants are served as `localhost`, the operator's side as `office.example.com`."""

    port: int
    folder: Path
    ca: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def request(
        self,
        name: str,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        source: str = "127.0.0.1",
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in small letters; a repeated one's last), body."""
        connection = _Named(name, self.port, context=self.context(), source_address=(source, 0))
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def logs(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("*.log"))


@contextmanager
def nginx_before(folder: Path, merchants: int, operator: int) -> Iterator[Nginx]:
    """nginx with contrib's file. Only its addresses, names and places are changed, and its log says all but headers."""
    program = require("nginx", "nginx-light")
    folder.mkdir()
    ca, port = trustme.CA(), free_port()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, served in (("api.example.com", "localhost"), (OFFICE, OFFICE)):
        identity = ca.issue_cert(served)
        identity.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
        identity.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    text = (CONTRIB / "nginx" / "alikassa.conf").read_text()
    for ours, here in (
        ("/etc/nginx/tls", str(folder)),
        ("/var/log/nginx", str(folder)),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8080", f"127.0.0.1:{merchants}"),
        ("127.0.0.1:8081", f"127.0.0.1:{operator}"),
        ("server_name api.example.com", "server_name localhost"),
        ("alikassa-error.log warn", "alikassa-error.log info"),
    ):
        assert ours in text
        text = text.replace(ours, here)
    (folder / "alikassa.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    # Debian's own nginx.conf has these protocols and this compression for all.
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/main.log warn;\n"
        "events { worker_connections 256; }\n"
        f"http {{ gzip on; ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; access_log {folder}/access.log;\n"
        f"{temporary} include {folder}/alikassa.conf; }}\n"
    )
    command = [program, "-p", str(folder), "-e", str(folder / "main.log"), "-c", str(folder / "nginx.conf")]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "warn" not in tried.stderr, tried.stderr
    process = subprocess.Popen(command)
    try:
        _wait_for(port, process)
        yield Nginx(port, folder, folder / "ca.pem")
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while True:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)
        else:
            return
