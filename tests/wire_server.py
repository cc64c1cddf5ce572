"""A server for the client's tests: it says what a script tells it to, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from conftest import PAGE_ANSWER

Script = Callable[[socket.socket], None]


def respond(status: int, body: bytes, **headers: str) -> Script:
    """Answer and keep the connection."""
    lines = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def ok(body: bytes = PAGE_ANSWER) -> Script:
    return respond(200, body)


def hang_up(connection: socket.socket) -> None:
    """Close without a word."""
    connection.close()


def raw(content: bytes) -> Script:
    """Say just this, then close."""

    def script(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.close()

    return script


def drip(content: bytes, seconds: float) -> Script:
    """Say this byte by byte, with a pause after each, for as long as the other side listens."""

    def script(connection: socket.socket) -> None:
        try:
            for place in range(len(content)):
                connection.sendall(content[place : place + 1])
                time.sleep(seconds)
        except OSError:
            pass

    return script


def silence(seconds: float) -> Script:
    """Say nothing for a while, then close."""

    def script(connection: socket.socket) -> None:
        time.sleep(seconds)
        connection.close()

    return script


@dataclass
class WireServer:
    """Runs one script a request, the last one for all that follow. `requests` are raw, as they arrived."""

    scripts: list[Script]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _script(self, request: bytes) -> Script:
        with self._lock:
            self.requests.append(request)
            return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    def serve(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            connection.settimeout(10)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    received = connection.recv(65536)
                    if not received:
                        return
                    buffer += received
                head, _, rest = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                while len(rest) < length:
                    rest += connection.recv(65536)
                request, buffer = head + b"\r\n\r\n" + rest[:length], rest[length:]
                self._script(request)(connection)
        except OSError:
            pass
        finally:
            connection.close()


@contextmanager
def wire_server(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[WireServer]:
    """A running server on a free port of 127.0.0.1."""
    server = WireServer(list(scripts) or [ok()])
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=server.serve, args=(connection, tls), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
