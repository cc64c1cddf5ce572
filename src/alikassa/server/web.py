"""The web server that both of our servers run on."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, RuntimeModes, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from alikassa.server.log import web_server_logging

if TYPE_CHECKING:
    from alikassa.server.settings import Settings

__all__ = ["url_of", "web_server"]

# A request's headers altogether, in bytes; past it the answer is 431. The least that the HTTP library takes.
_LONGEST_HEADERS = 8192
# Those that have connected and are not accepted yet. The system may allow fewer (net.core.somaxconn).
_BACKLOG = 4096
# Files beside connections: the database's, the logs', the libraries'.
_OTHER_FILES = 256


def web_server(
    settings: Settings,
    target: str,
    address: str,
    port: int,
    *,
    interface: Interfaces,
    workers: int,
    connections: int,
    tls: bool,
) -> MPServer:
    """A server for the application that is called `target`; hand its loader to `serve`. `connections` of each worker
    are accepted at most, as many as it may have files."""
    return MPServer(
        target,
        address=address,
        port=port,
        interface=interface,
        workers=workers,
        runtime_mode=RuntimeModes.mt,
        # The merchants' programs speak HTTP/1.1, and Java's offer of h2c is passed over. With HTTP/2 offered too,
        # a connection that sends nothing would never be timed out.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(settings.header_seconds * 1000), max_buffer_size=_LONGEST_HEADERS
        ),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=max(min(connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES), 1),
        log_level=LogLevels.warning,
        log_dictconfig=web_server_logging(),
        ssl_cert=settings.tls_cert if tls else None,
        ssl_key=settings.tls_key if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.shutdown_seconds,
    )


def url_of(address: str, port: int, *, tls: bool) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{'https' if tls else 'http'}://{host}:{port}"
