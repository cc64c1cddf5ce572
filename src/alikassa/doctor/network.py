"""The way to the server: name, connection, TLS. Probes with a deadline each; nothing but a handshake is sent."""

from __future__ import annotations

import base64
import queue
import re
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alikassa.client.connecting import find_proxy, tls_context
from alikassa.doctor.findings import Finding, Level

if TYPE_CHECKING:
    import httpcore2

__all__ = ["check_clock", "check_network"]

SECONDS = 10.0
_LARGEST_REPLY = 8 * 1024
_CLOCK_SECONDS = 60
_MOST_ADDRESSES = 8
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")
# A family, and an address as that family has it.
_Address = tuple[int, tuple[Any, ...]]
# X509_V_ERR_... of OpenSSL.
_CODES = {
    9: "network.tls_not_yet",
    10: "network.tls_expired",
    18: "network.tls_self_signed",
    19: "network.tls_unknown_ca",
    20: "network.tls_unknown_ca",
    21: "network.tls_unknown_ca",
    62: "network.tls_host",
    64: "network.tls_host",
}


def check_network(url: str, ca_bundle: str | None, proxy: str | None, seconds: float = SECONDS) -> list[Finding]:
    """Resolve, connect, shake hands. It ends at the first error. Raises ConfigurationError for unusable settings."""
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or (443 if target.scheme == "https" else 80)
    through = find_proxy(url, proxy)
    found: list[Finding] = []
    near, near_port = host, port
    if through is not None:
        near = through.url.host.decode("ascii")
        near_port = through.url.port or (443 if through.url.scheme == b"https" else 80)
        found.append(Finding(Level.NOTE, "network.proxy", {"proxy": f"{near}:{near_port}"}))
    addresses, finding = _resolve(near, near_port, seconds)
    found.append(finding)
    if not addresses:
        return found
    connection, finding = _connect(addresses, {"host": near, "port": str(near_port)}, seconds)
    found.append(finding)
    if connection is None:
        return found
    with connection:
        if target.scheme == "http":
            return [*found, Finding(Level.NOTE, "network.plain")]
        return [*found, *_tls(connection, host, port, ca_bundle, through)]


def check_clock(date: str, now: float | None = None) -> list[Finding]:
    """This machine's clock against the Date that a server sent."""
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return []
    theirs = theirs if theirs.tzinfo is not None else theirs.replace(tzinfo=UTC)
    seconds = round((time.time() if now is None else now) - theirs.timestamp())
    if abs(seconds) < _CLOCK_SECONDS:
        return []
    return [Finding(Level.WARNING, "network.clock", {"seconds": f"{seconds:+d}"})]


def _resolve(host: str, port: int, seconds: float) -> tuple[list[_Address], Finding]:
    """The system's resolver knows no time limit, so a thread waits for it."""
    results: queue.SimpleQueue[list[_Address] | str] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            different: dict[_Address, None] = {(family, address): None for family, *_, address in found}
            results.put(list(different)[:_MOST_ADDRESSES])
        except (OSError, UnicodeError) as error:
            results.put(getattr(error, "strerror", None) or str(error))

    threading.Thread(target=resolve, name="alikassa resolver", daemon=True).start()
    try:
        found = results.get(timeout=seconds)
    except queue.Empty:
        found = f"no answer within {seconds:g} s"
    if isinstance(found, str):
        return [], Finding(Level.ERROR, "network.dns", {"host": host, "problem": found})
    shown = ", ".join(str(address[0]) for _, address in found)
    return found, Finding(Level.OK, "network.addresses", {"host": host, "addresses": shown})


def _connect(addresses: list[_Address], values: dict[str, str], seconds: float) -> tuple[socket.socket | None, Finding]:
    """The first of the addresses that can be reached, within so many seconds altogether."""
    until = time.monotonic() + seconds
    code, problem = "network.unreachable", f"no answer within {seconds:g} s"
    for family, address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(left)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            code = "network.refused" if isinstance(error, ConnectionRefusedError) else "network.unreachable"
            problem = error.strerror or str(error)
        else:
            connection.settimeout(seconds)
            return connection, Finding(Level.OK, "network.tcp", values)
    return None, Finding(Level.ERROR, code, values | {"problem": problem})


def _tls(
    connection: socket.socket, host: str, port: int, ca_bundle: str | None, proxy: httpcore2.Proxy | None
) -> list[Finding]:
    context = tls_context(ca_bundle)
    try:
        if proxy is not None:
            if proxy.url.scheme == b"https":
                return []  # The request itself tells.
            refusal = _ask_proxy(connection, host, port, proxy)
            if refusal is not None:
                return [refusal]
        with context.wrap_socket(connection, server_hostname=host) as secure:
            until = _valid_until(secure)
            return [Finding(Level.OK, "network.tls", {"version": secure.version() or "TLS", "until": until})]
    except ssl.SSLCertVerificationError as error:
        code = _CODES.get(error.verify_code, "network.tls_failed")
        values = {"host": host, "problem": error.verify_message, "now": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
        return [Finding(Level.ERROR, code, values)]
    except OSError as error:
        problem = getattr(error, "reason", None) or error.strerror or str(error)
        return [Finding(Level.ERROR, "network.tls_failed", {"host": host, "problem": str(problem)})]


def _valid_until(secure: ssl.SSLSocket) -> str:
    text = (secure.getpeercert() or {}).get("notAfter")
    return f"{datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC):%Y-%m-%d}" if isinstance(text, str) else "?"


def _ask_proxy(connection: socket.socket, host: str, port: int, proxy: httpcore2.Proxy) -> Finding | None:
    """Have the proxy make the connection; what it says when it does not. OSError when it breaks off."""
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.auth is not None:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(b':'.join(proxy.auth)).decode()}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    seconds = connection.gettimeout() or SECONDS
    until = time.monotonic() + seconds
    reply = b""
    while b"\r\n\r\n" not in reply and len(reply) < _LARGEST_REPLY:
        # A proxy that answers by the byte has no more time than one that does not answer.
        connection.settimeout(max(until - time.monotonic(), 0.001))
        received = connection.recv(1024)
        if not received:
            break
        reply += received
    connection.settimeout(seconds)
    status = _STATUS.match(reply)
    if status is not None and status[1].startswith(b"2"):
        return None
    said = status[1].decode("ascii") if status is not None else "no HTTP"
    values = {"proxy": proxy.url.host.decode("ascii"), "host": host, "said": said}
    return Finding(Level.ERROR, "network.proxy_refused", values)
