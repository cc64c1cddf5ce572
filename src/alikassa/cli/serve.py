"""`alikassa serve`: the server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alikassa.cli.options import DatabaseOption

__all__ = ["add_to"]


class ErrorsChoice(StrEnum):
    UNIFORM = "uniform"
    EXPLAIN = "explain"


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa serve --database sqlite:///books.db --port 8443 --tls-cert C --tls-key K`")(
        serve
    )


def serve(
    database: DatabaseOption,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="TLS certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    errors: Annotated[
        ErrorsChoice,
        typer.Option(
            "--errors",
            help="uniform: one answer for every cause of a refused signature, so that strangers learn nothing;"
            " explain: each cause, for development.",
        ),
    ] = ErrorsChoice.UNIFORM,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that answer.")] = 1,
    body_seconds: Annotated[
        float,
        typer.Option("--body-seconds", min=0.1, max=3600, help="A body must arrive by then, or is answered 408."),
    ] = 10,
    header_seconds: Annotated[
        float,
        typer.Option(
            "--header-seconds",
            min=0.1,
            max=3600,
            help="Headers must arrive by then; a connection may idle so long.",
        ),
    ] = 10,
    shutdown_seconds: Annotated[
        int, typer.Option("--shutdown-seconds", min=1, help="A stop waits so long for requests under way.")
    ] = 10,
    operator: Annotated[
        bool, typer.Option("--operator/--no-operator", help="Serve the operator's API too, in a process of its own.")
    ] = True,
    operator_host: Annotated[
        str, typer.Option("--operator-host", envvar="ALIKASSA_OPERATOR_HOST", help="Where the operator's API listens.")
    ] = "127.0.0.1",
    operator_port: Annotated[
        int,
        typer.Option(
            "--operator-port",
            envvar="ALIKASSA_OPERATOR_PORT",
            min=0,
            max=65535,
            help="Its port, never the merchants'; 0 takes a free one.",
        ),
    ] = 8081,
    public_url: Annotated[
        str,
        typer.Option(
            "--public-url",
            envvar="ALIKASSA_PUBLIC_URL",
            help="Where merchants' programs reach the server, as the cabinet shows it; where it listens, if left out.",
        ),
    ] = "",
    trusted_proxy: Annotated[
        str,
        typer.Option(
            "--trusted-proxy",
            envvar="ALIKASSA_TRUSTED_PROXY",
            help="Address of the reverse proxy before both ports: its X-Forwarded-For says who asks, and who logs in.",
        ),
    ] = "",
    limit_address: Annotated[
        str,
        typer.Option(
            "--limit-address", help="Requests of one address (IPv6: /64), as 6000/minute; this machine: none."
        ),
    ] = "off",
    limit_failed: Annotated[
        str, typer.Option("--limit-failed", help="Of these, requests refused once their signature was looked at.")
    ] = "600/minute",
    limit_certificate: Annotated[
        str, typer.Option("--limit-certificate", help="Requests that one certificate signed.")
    ] = "off",
    limit_account: Annotated[str, typer.Option("--limit-account", help="Signed requests about one account.")] = "off",
    limit_store: Annotated[
        str,
        typer.Option(
            "--limit-store",
            envvar="ALIKASSA_LIMIT_STORE",
            help="Where that is counted: memory, each worker for itself, or redis://HOST:6379/0, all together.",
        ),
    ] = "memory",
    replica: Annotated[
        list[str] | None,
        typer.Option(
            "--replica",
            envvar="ALIKASSA_REPLICA",
            metavar="URL",
            help="A PostgreSQL that follows the primary: the four numbers may be read there. May be repeated.",
        ),
    ] = None,
    replica_staleness: Annotated[
        float,
        typer.Option(
            "--replica-staleness",
            min=0.5,
            max=60,
            help="How old those may be; past it, the primary answers. Certificates are always read at the primary.",
        ),
    ] = 1.0,
    slow_query: Annotated[
        str, typer.Option("--slow-query", help="Statements that take so many seconds are logged; 0: all, none: none.")
    ] = "0.5",
    traces: Annotated[
        bool, typer.Option("--traces", help="Export spans where OTEL_TRACES_EXPORTER says. Needs alikassa[otel].")
    ] = False,
    sweep_seconds: Annotated[
        float,
        typer.Option("--sweep-seconds", min=0.1, max=3600, help="The operator's process books due releases so often."),
    ] = 3,
) -> None:
    """Answer balance requests until told to stop (SIGTERM, Ctrl-C), and the operator's API beside them.

    An empty database is given its tables. GET /healthz says that it runs, GET /readyz that its database answers. The
    operator's API needs a token (alikassa operator token create); its pages are at /operator/docs. On the same port,
    at /cabinet, merchants and operators see accounts, statements and keys (alikassa user add).
    """
    from alikassa.ledger.replicas.settings import ReplicaSettings
    from alikassa.server.balance import Errors
    from alikassa.server.limits.rules import Rules
    from alikassa.server.serve import serve as run
    from alikassa.server.settings import Settings

    settings = Settings(
        database=database,
        host=host,
        port=port,
        workers=workers,
        errors=Errors(errors.value),
        tls_cert=tls_cert,
        tls_key=tls_key,
        header_seconds=header_seconds,
        body_seconds=body_seconds,
        shutdown_seconds=shutdown_seconds,
        operator=operator,
        operator_host=operator_host,
        operator_port=operator_port,
        public_url=public_url,
        trusted_proxy=trusted_proxy,
        limits=Rules.of(
            address=limit_address, failed=limit_failed, certificate=limit_certificate, account=limit_account
        ),
        limit_store=limit_store,
        sweep_seconds=sweep_seconds,
        slow_seconds=_seconds(slow_query),
        traces=traces,
        replicas=ReplicaSettings(tuple(replica or ()), replica_staleness),
    )
    run(settings, "alikassa.cabinet.application:application")


def _seconds(text: str) -> float | None:
    """What --slow-query says. A NaN, and what is below 0, compares with nothing."""
    if text == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise typer.BadParameter("Give seconds, as 0.5, or none.", param_hint="--slow-query")
    return seconds
