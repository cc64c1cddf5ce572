"""Starting the server: checks first, then workers until a signal ends them."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from granian.constants import HTTPModes, Interfaces, RuntimeModes, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from alikassa.errors import ConfigurationError
from alikassa.ledger.database import Database
from alikassa.server.application import Application
from alikassa.server.log import RequestLog, configure_logging, web_server_logging

if TYPE_CHECKING:
    from alikassa.server.settings import Settings

__all__ = ["find_address", "serve"]

# A request's headers altogether, in bytes; past it the answer is 431. The least that the HTTP library takes.
_LONGEST_HEADERS = 8192
_MOST_CONNECTIONS = 1024


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The log names the URL when the workers are about to start.

    An empty database is given its tables. Raises ConfigurationError when a port, file or database cannot be used.
    """
    asyncio.run(_prepare_database(settings.database))
    _check_tls(settings)
    _raise_file_limit()
    address, port = find_address(settings.host, settings.port)
    server = MPServer(
        "alikassa.server.application:Application",
        address=address,
        port=port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        runtime_mode=RuntimeModes.mt,
        # The merchants' programs speak HTTP/1.1, and Java's offer of h2c is passed over. With HTTP/2 offered too,
        # a connection that sends nothing would never be timed out.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(settings.header_seconds * 1000), max_buffer_size=_LONGEST_HEADERS
        ),
        websockets=False,
        backlog=_MOST_CONNECTIONS * 2,
        backpressure=_MOST_CONNECTIONS,
        log_level=LogLevels.warning,
        log_dictconfig=web_server_logging(),
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.shutdown_seconds,
    )
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{address}]" if ":" in address else address
    configure_logging()
    log = RequestLog()
    server.on_startup(partial(log.serving, f"{scheme}://{host}:{port}", settings.workers))
    server.on_shutdown(log.stopped)
    # A partial, not a lambda: where workers are spawned it is pickled.
    server.serve(target_loader=cast("Any", partial(Application, settings)), wrap_loader=False)


async def _prepare_database(url: str) -> None:
    async with await Database.open(url, create=True):
        pass


def find_address(host: str, port: int) -> tuple[str, int]:
    """The address and port to listen on: a name resolved, a free port for 0. ConfigurationError when not to be had.

    The workers bind with SO_REUSEPORT, which would quietly share a port with another server of the same user.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found = probe.getsockname()
    except socket.gaierror as error:
        raise ConfigurationError(f"The host {host} is not known here.", remedy="Give --host an address.") from error
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            remedy="See what holds the port (ss -ltnp), or choose another with --port; 0 takes a free one.",
        ) from error
    return str(found[0]), int(found[1])


def _raise_file_limit() -> None:
    """As many open files as this process may have: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_tls(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigurationError("TLS needs both a certificate and its key.", remedy="Give --tls-cert and --tls-key.")
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        # A password is asked for by nobody: a server has no one to answer at its terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password=b"")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"The TLS certificate {settings.tls_cert} with {settings.tls_key} cannot be used: {error.strerror}.",
            remedy="Both are PEM files, the certificate with its chain; the key belongs to it and has no passphrase.",
        ) from error
