"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alikassa.ledger.replicas.settings import ReplicaSettings
from alikassa.server.balance import Errors
from alikassa.server.limits.rules import Rules

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of `alikassa serve`. Times are in seconds."""

    database: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    errors: Errors = Errors.UNIFORM
    tls_cert: Path | None = None
    tls_key: Path | None = None
    #: Until the headers of a request, or of the next one on a kept connection, must have arrived.
    header_seconds: float = 10.0
    #: Until its body must have arrived.
    body_seconds: float = 10.0
    #: How long a stop waits for requests under way.
    shutdown_seconds: int = 10
    #: Whether the operator's API is served beside it, in a process of its own.
    operator: bool = True
    operator_host: str = "127.0.0.1"
    operator_port: int = 8081
    #: Where merchants' programs reach the server, as the cabinet shows it; "" for where it listens.
    public_url: str = ""
    #: The address of a reverse proxy in front of both ports, whose word on who asks counts; "" for none.
    trusted_proxy: str = ""
    #: How much one address, certificate and account may ask, and where that is counted.
    limits: Rules = field(default_factory=Rules)
    limit_store: str = "memory"
    #: The pause between two releases of all that is due. Nobody who asks or books waits for them.
    sweep_seconds: float = 3.0
    #: Statements that take so long are logged; None for none of them.
    slow_seconds: float | None = 0.5
    #: Whether spans are exported, as the environment variables of OpenTelemetry say.
    traces: bool = False
    #: Servers that follow the primary, which may be asked for the four numbers.
    replicas: ReplicaSettings = field(default_factory=ReplicaSettings)
    #: Where the processes leave their counts for the operator's metrics; None when nobody reads them.
    metrics_folder: Path | None = None
