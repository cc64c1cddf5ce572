"""`alikassa exporter`: balances for Prometheus."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alikassa.cli.output import message
from alikassa.cli.watch import (
    EveryOption,
    HistoryOption,
    KeepOption,
    ProfilesArgument,
    checked_rules,
    chosen_profiles,
    run,
    span,
)
from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from alikassa.monitor.exposition import Latest

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Examples: `alikassa exporter`, `alikassa exporter shop --port 9877 --every 5m`")(exporter)


def exporter(
    profiles: ProfilesArgument = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 9877,
    every: EveryOption = "60s",
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="Alert rules; alerts are delivered.")
    ] = None,
    history: HistoryOption = None,
    keep: KeepOption = "400d",
) -> None:
    """Serve the accounts' balances to Prometheus, at /metrics; exactly, as JSON, at /balances.json.

    Accounts are looked at in the background: a scrape asks the provider nothing. Who reaches the address reads the
    balances. Ctrl-C ends it.
    """
    from alikassa.monitor.delivery import title
    from alikassa.monitor.exposition import Latest
    from alikassa.monitor.history import History, default_history
    from alikassa.monitor.listener import Listener
    from alikassa.monitor.monitor import run_monitor

    if find_spec("prometheus_client") is None:
        raise ConfigurationError(
            "The exporter needs a package that is not installed (prometheus-client).",
            remedy="Install it with: pip install 'alikassa[monitor]'",
        )
    known = chosen_profiles(profiles)
    pause, kept = span(every), span(keep)
    latest = Latest({name: profile.account for name, profile in known.items()})
    listener = Listener(latest.tell, lambda alert: message(f"{title(alert)}: {alert.text}"), message)
    loaded = None if rules is None else checked_rules(rules, kept)
    with History(history or default_history()) as opened:
        for name, profile in known.items():
            for snapshot in opened.last(name, profile.account, 1):
                latest.begin(snapshot)
        run(_serve(latest, host, port, run_monitor(known, pause, kept, opened, loaded, listener)))


async def _serve(latest: Latest, host: str, port: int, watching: Coroutine[Any, Any, None]) -> None:
    import signal
    from asyncio import CancelledError, ensure_future, get_running_loop

    from alikassa.monitor.web import Page, serve_pages

    pages = {
        "/metrics": Page("text/plain; version=0.0.4; charset=utf-8", latest.metrics),
        "/balances.json": Page("application/json", latest.balances),
        "/healthz": Page("text/plain; charset=utf-8", lambda: b"ok\n"),
    }
    try:
        server = await serve_pages(pages, host, port)
    except ConfigurationError:
        watching.close()
        raise
    task = ensure_future(watching)
    get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel, "SIGTERM")
    message(f"Serving http://{host}:{port}/metrics, /balances.json and /healthz.")
    try:
        await task
    except CancelledError as cancelled:
        if "SIGTERM" not in cancelled.args:
            raise
    finally:
        server.close()
