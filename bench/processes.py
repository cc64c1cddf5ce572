"""Processes of a run: started on a free port of 127.0.0.1, and surely ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BENCH", "ask", "clean_environment", "free_port", "progress", "running", "running_aside", "serve_command"]

BENCH = Path(__file__).resolve().parent
_START_SECONDS = 30
_STOP_SECONDS = 15


def progress(text: str) -> None:
    """For who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """The environment without what would change what is measured."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALIKASSA_", "GRANIAN_", "COVERAGE_", "PYTHON")) and not name.lower().endswith("_proxy")
    }


def serve_command(database: str, port: int, *options: str, operator_port: int | None = None) -> list[str]:
    """`alikassa serve` with its default settings; the operator's side on a port that is told, or left out."""
    command = [sys.executable, "-m", "alikassa", "serve", "--database", database, "--host", "127.0.0.1"]
    command += ["--no-operator"] if operator_port is None else ["--operator-port", str(operator_port)]
    return [*command, "--port", str(port), *options]


@contextmanager
def running(name: str, command: list[str], port: int, log: Path) -> Iterator[int]:
    """The server that `command` starts, from when it takes connections: its process id."""
    with log.open("wb") as file:
        # A session of its own: Ctrl-C reaches us alone, and what it leaves behind can be ended as one group.
        process = subprocess.Popen(command, stdout=file, stderr=file, env=clean_environment(), start_new_session=True)
    try:
        _wait(name, process, port, log)
        yield process.pid
    finally:
        _stop(process)


@contextmanager
def running_aside(command: list[str], log: Path) -> Iterator[None]:
    """A process that nobody talks to. RuntimeError when it did not last as long as the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=clean_environment(), start_new_session=True)
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"{command[1]} ended early:\n{log.read_text()}")
    finally:
        _stop(process)


def _wait(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{name} did not start:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:
        # Its workers, should it have ended without them.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(port: int, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """One POST on a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
