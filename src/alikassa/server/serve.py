"""Starting the server: checks first, then workers until a signal ends them."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import resource
import socket
import ssl
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from granian.constants import Interfaces

from alikassa.errors import ConfigurationError, ServerError
from alikassa.ledger.database import Database
from alikassa.ledger.distribution.marker import is_spread
from alikassa.server.application import Application
from alikassa.server.limits.addresses import parse_networks
from alikassa.server.log import RequestLog, configure_logging
from alikassa.server.metrics.folder import new_folder
from alikassa.server.web import url_of, web_server

if TYPE_CHECKING:
    from alikassa.server.operator.process import OperatorProcess
    from alikassa.server.settings import Settings

__all__ = ["find_address", "public_url_of", "serve"]

#: The operator's API, and nothing beside it.
OPERATOR = "alikassa.server.operator.application:application"
# Of each worker: a crowd that only connects takes no more than memory, and past it everybody waits to be let in.
_MOST_CONNECTIONS = 16_384
_LONGEST_URL = 200
# It is put into commands that people copy: nothing that a shell would take for its own.
_PUBLIC_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII
)


def serve(settings: Settings, operator_target: str = OPERATOR) -> None:
    """Serve until SIGTERM or SIGINT. The log names the URLs when the workers are about to start.

    `operator_target` makes what the operator's process serves. An empty database is given its tables.
    Raises ConfigurationError when a port, file or database cannot be used, ServerError when the operator's process
    failed.
    """
    parse_networks(settings.trusted_proxy)
    settings.replicas.check(settings.database)
    asyncio.run(_prepare_database(settings.database, replicas=bool(settings.replicas.urls)))
    _check_tls(settings)
    application = _application(settings)
    _raise_file_limit()
    address, port = find_address(settings.host, settings.port)
    settings = replace(settings, public_url=public_url_of(settings, address, port))
    with new_folder() if settings.operator else nullcontext() as folder:
        _serve(replace(settings, metrics_folder=folder), application, address, port, operator_target)


def _application(settings: Settings) -> type[Application]:
    if not settings.traces:
        return Application
    # Only for whoever wants traces: OpenTelemetry need not be there.
    from alikassa.server.traces.provider import check_tracing

    check_tracing()
    from alikassa.server.traces.merchants import TracedApplication

    return TracedApplication


def _serve(settings: Settings, application: type[Application], address: str, port: int, operator_target: str) -> None:
    operator = _operator_beside(settings, port, operator_target) if settings.operator else None
    tls = settings.tls_cert is not None
    server = web_server(
        settings,
        "alikassa.server.application:Application",
        address,
        port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        connections=_MOST_CONNECTIONS,
        tls=tls,
    )
    configure_logging()
    log = RequestLog()
    server.on_startup(partial(log.serving, url_of(address, port, tls=tls), settings.workers))
    server.on_shutdown(log.stopped)
    if operator is not None:
        server.on_startup(operator.start)
    try:
        # A partial, not a lambda: where workers are spawned it is pickled.
        server.serve(target_loader=cast("Any", partial(application, settings)), wrap_loader=False)
    finally:
        failed = operator.stop() if operator is not None else 0
    if failed:
        raise ServerError("The operator's process failed.", status=0, remedy="See the log above.", retryable=False)


def _operator_beside(settings: Settings, merchants_port: int, target: str) -> OperatorProcess:
    """The operator's process, on a port that is not the merchants'."""
    # Only for whoever serves it: its framework is not loaded for the merchants' server alone.
    from alikassa.server.operator.process import OperatorProcess

    while True:
        address, port = find_address(settings.operator_host, settings.operator_port, option="--operator-port")
        if port != merchants_port:
            return OperatorProcess(settings, address, port, target)
        if settings.operator_port:
            raise ConfigurationError(
                f"Merchants and operator cannot share the port {port}.", remedy="Choose another with --operator-port."
            )


def public_url_of(settings: Settings, address: str, port: int) -> str:
    """Where merchants' programs reach the server: as the operator says, else where it listens. ConfigurationError for
    what is no plain address."""
    if settings.public_url:
        if len(settings.public_url) > _LONGEST_URL or _PUBLIC_URL.fullmatch(settings.public_url) is None:
            raise ConfigurationError(
                "The public URL is no address of a server.",
                remedy="Give --public-url as https://api.example.com, with a port or a path if there is one.",
            )
        return settings.public_url.rstrip("/")
    # Every address of the machine is none to ask: its own name for itself is.
    host = "localhost" if ipaddress.ip_address(address.partition("%")[0]).is_unspecified else address
    return url_of(host, port, tls=settings.tls_cert is not None)


async def _prepare_database(url: str, *, replicas: bool) -> None:
    async with await Database.open(url, create=True) as database:
        if replicas and await is_spread(database):
            raise ConfigurationError(
                "Books that are spread over nodes are not read from replicas.",
                remedy="Leave out --replica: add nodes instead.",
            )


def find_address(host: str, port: int, *, option: str = "--port") -> tuple[str, int]:
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
        raise ConfigurationError(
            f"The host {host} is not known here.", remedy=f"Give {option.replace('port', 'host')} an address."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            remedy=f"See what holds the port (ss -ltnp), or choose another with {option}; 0 takes a free one.",
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
