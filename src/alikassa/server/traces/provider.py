"""Where spans go: the provider of this process, as the standard environment variables describe it.

Every worker is a process of its own, with threads that export, so each makes its provider itself. One that is there
already, because the program was started by `opentelemetry-instrument`, say, is used as it is. What is needed of the SDK
is found by the names it registers: only its API is a dependency.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["Tracing", "check_tracing"]

_EXPORTERS = "opentelemetry_traces_exporter"
_NO_SERVICE_NAME = "service.name="


def check_tracing() -> None:
    """ConfigurationError when this process could not export spans."""
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise ConfigurationError(
            "Traces need OpenTelemetry.",
            remedy="Install alikassa[otel], opentelemetry-sdk and an exporter, as opentelemetry-exporter-otlp.",
        ) from error
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        _load()


class Tracing:
    """This process's tracer, from `start` to `stop`."""

    def __init__(self) -> None:
        self.tracer: Tracer
        self._own: Any = None

    def start(self) -> None:
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._own = _make()
            trace.set_tracer_provider(self._own)
        self.tracer = trace.get_tracer("alikassa.server")

    def stop(self) -> None:
        """Export what has not been exported yet. It may take the exporter's time-out."""
        if self._own is not None:
            self._own.shutdown()


def _make() -> Any:
    provider, exporters = _load()
    named = "OTEL_SERVICE_NAME" in os.environ or _NO_SERVICE_NAME in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = import_module("opentelemetry.sdk.resources").Resource.create(
        {} if named else {"service.name": "alikassa"}
    )
    made = provider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        made.add_span_processor(import_module("opentelemetry.sdk.trace.export").BatchSpanProcessor(exporter()))
    return made


def _load() -> tuple[Any, list[Any]]:
    """The SDK's class of providers, and those of the exporters that are named."""
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",") if name.strip()]
    if not names:
        raise ConfigurationError(
            "It is not said where traces go.", remedy="Set OTEL_TRACES_EXPORTER: otlp, console, or none for nowhere."
        )
    provider = _find("opentelemetry_tracer_provider", "sdk_tracer_provider")
    if provider is None:
        raise ConfigurationError("Traces need the SDK of OpenTelemetry.", remedy="Install opentelemetry-sdk.")
    exporters = []
    for name in names:
        if name == "none":
            continue
        found = next((one for alias in _aliases(name) if (one := _find(_EXPORTERS, alias)) is not None), None)
        if found is None:
            raise ConfigurationError(
                "The exporter in OTEL_TRACES_EXPORTER is not installed.",
                remedy="Install its package, as opentelemetry-exporter-otlp for otlp, or choose another.",
            )
        exporters.append(found)
    return provider, exporters


def _aliases(name: str) -> list[str]:
    """OTLP has an exporter for each of its protocols."""
    if name != "otlp":
        return [name]
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol:
        return ["otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"]
    return ["otlp_proto_http", "otlp_proto_grpc", "otlp"]


def _find(group: str, name: str) -> Any:
    return next((one.load() for one in entry_points(group=group, name=name)), None)
