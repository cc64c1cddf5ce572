"""The operator's process beside the merchants' server: when one ends, so does the other."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from importlib import import_module
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, cast

from granian.constants import Interfaces

from alikassa.server.log import configure_logging
from alikassa.server.operator.bounds import MOST_UNDER_WAY
from alikassa.server.operator.front import Front
from alikassa.server.operator.log import OperatorLog
from alikassa.server.operator.proxied import Proxied
from alikassa.server.web import url_of, web_server

if TYPE_CHECKING:
    from alikassa.server.settings import Settings

__all__ = ["OperatorProcess"]

# Twice as many as may be under way: who comes past that is told so, instead of waiting for a connection.
_MOST_CONNECTIONS = 2 * MOST_UNDER_WAY


class OperatorProcess:
    """Started and stopped by the merchants' server. `target` is what makes its application, as `module:name`."""

    def __init__(self, settings: Settings, address: str, port: int, target: str) -> None:
        self._settings = settings
        self._address = address
        self._port = port
        self._process = multiprocessing.get_context().Process(
            name="alikassa-operator", target=_run, args=(settings, address, port, target)
        )
        self._stopping = False

    def start(self) -> None:
        """Its URL is said here, so that it comes after the merchants'."""
        log = OperatorLog()
        tls = _with_tls(self._settings, self._address)
        log.serving(url_of(self._address, self._port, tls=tls))
        if not (tls or _is_loopback(self._address)):
            log.unprotected(self._address)
        self._process.start()
        threading.Thread(target=self._watch, name="operator-watch", daemon=True).start()

    def _watch(self) -> None:
        wait([self._process.sentinel])
        if not self._stopping:
            # The merchants' server ends as if it had been told to.
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> int:
        """Wait until it has ended, and end it if it does not; how it ended by itself, 0 for well or when told to."""
        if self._process.pid is None:
            return 0
        by_itself = self._process.exitcode
        self._stopping = True
        if by_itself is not None:
            if by_itself:
                OperatorLog().ended(by_itself)
            return by_itself
        self._process.terminate()
        self._process.join(self._settings.shutdown_seconds + 1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return 0


def _run(settings: Settings, address: str, port: int, target: str) -> None:
    _end_at_signals()
    configure_logging()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    server = web_server(
        settings,
        target,
        address,
        port,
        interface=Interfaces.RSGI,
        # One: it has the one writer of the books.
        workers=1,
        connections=_MOST_CONNECTIONS,
        tls=_with_tls(settings, address),
    )
    server.on_shutdown(OperatorLog().stopped)
    server.serve(target_loader=cast("Any", partial(_load, settings, target)), wrap_loader=False)


def _end_at_signals() -> None:
    """Until the web server has handlers of this process's own: what it inherited are its parent's, which would let
    the signal pass."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _load(settings: Settings, target: str) -> Any:
    # Loading takes a while, and a stop may come before it is done.
    _end_at_signals()
    # In the worker alone: the framework is not for the processes that only watch.
    module, _, name = target.partition(":")
    application = getattr(import_module(module), name)(settings)
    return Front(
        Proxied(application, settings.trusted_proxy) if settings.trusted_proxy else application, application.refusal
    )


def _end_with(parent: int) -> None:
    """End when the merchants' server is gone without having said so."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _with_tls(settings: Settings, address: str) -> bool:
    """On loopback there is nobody to hide from, and no name in the certificate for it."""
    return settings.tls_cert is not None and not _is_loopback(address)
