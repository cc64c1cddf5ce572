"""A server that speaks HTTP/2 frame by frame, and badly when it is told to."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from conftest import PAGE_ANSWER

#: Given the connection's state, its socket and the stream that asks: answer, or worse.
Script = Callable[[h2.connection.H2Connection, ssl.SSLSocket, int], None]


def gives(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    state.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
    state.send_data(stream, PAGE_ANSWER, end_stream=True)


def resets_the_stream(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    state.send_headers(stream, [(":status", "200")])
    state.reset_stream(stream, error_code=2)


def goes_away(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    state.close_connection()


def gives_and_goes_away(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    gives(state, wire, stream)
    state.close_connection(last_stream_id=stream)


def says_junk(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    """Data of no stream, before any answer."""
    wire.sendall(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")


def breaks_the_protocol(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    """In the middle of an answer: a window update of nothing is forbidden."""
    state.send_headers(stream, [(":status", "200")])
    wire.sendall(state.data_to_send() + struct.pack(">I", 4)[1:] + b"\x08\x00" + struct.pack(">II", stream, 0))


def resets_the_connection(state: h2.connection.H2Connection, wire: ssl.SSLSocket, stream: int) -> None:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@dataclass
class FrameServer:
    """Runs one script a request, the last one for all that follow."""

    scripts: list[Script]
    url: str = ""
    requests: int = 0
    connections: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    def serve(self, wire: ssl.SSLSocket) -> None:
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        state.initiate_connection()
        try:
            wire.sendall(state.data_to_send())
            while received := wire.recv(65536):
                for event in state.receive_data(received):
                    if isinstance(event, h2.events.RequestReceived):
                        self.headers.append({str(name): str(value) for name, value in event.headers or ()})
                    if isinstance(event, h2.events.StreamEnded):
                        self.requests += 1
                        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                        script(state, wire, event.stream_id or 0)
                wire.sendall(state.data_to_send())
        except (OSError, h2.exceptions.H2Error):
            pass
        finally:
            wire.close()


@contextmanager
def frame_server(context: ssl.SSLContext, *scripts: Script) -> Iterator[FrameServer]:
    """A running server on a free port of 127.0.0.1."""
    context.set_alpn_protocols(["h2"])
    server = FrameServer(list(scripts))
    listener = socket.create_server(("127.0.0.1", 0))
    server.url = f"https://127.0.0.1:{listener.getsockname()[1]}"

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
                wire = context.wrap_socket(connection, server_side=True)
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=server.serve, args=(wire,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
