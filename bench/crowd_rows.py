"""What a crowd takes that has asked once and keeps its connections: memory, and the patience of who asks beside it."""

from __future__ import annotations

import resource
import socket
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from load_generator import build_requests
from processes import BENCH, free_port, progress, running, serve_command
from results import Row, Section, Target
from taken import memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from engines import Stores

__all__ = ["measure_crowd"]

_OURS = "alikassa, SQLite"
_BARE = "bare hello"
_OF_BARE = Target(1.5, below=True)
_PATIENCE = 2.0
#: What a server needs for its first requests is not the crowd's.
_WARMED = 200
_STAY = ["--header-seconds", "60"]


def measure_crowd(folder: Path, stores: Stores, requests: Path, *, crowd: int, rounds: int) -> Section:
    """Each round starts both servers anew; the crowd ends at the first connection that is not answered in time."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The servers inherit it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    samples: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for who in (_OURS, _BARE):
            port = free_port()
            if who == _OURS:
                command = serve_command(stores.ours["SQLite"], port, *_STAY)
            else:
                command = [sys.executable, str(BENCH / "bare_server.py"), "--port", str(port), *_STAY]
            with running(who, command, port, folder / f"crowd-{port}.log") as pid:
                found = _gather(pid, port, build_requests(requests, port), crowd)
            for what, value in found.items():
                samples.setdefault(who, {}).setdefault(what, []).append(value)
            told = ", ".join(f"{what} {value:,.1f}" for what, value in found.items())
            progress(f"  round {number + 1}/{rounds}  {who:<20} {told}")
    rows = {(who, what): Row(f"{who}, {what}", kept) for who, of in samples.items() for what, kept in of.items()}
    ours = rows[_OURS, "KiB each"]
    ours.comparisons = (ours.over(rows[_BARE, "KiB each"], _OF_BARE),)
    return Section(f"A crowd of {crowd:,} kept connections, one worker", tuple(rows.values()), lower_is_better=True)


def _gather(pid: int, port: int, requests: list[bytes], crowd: int) -> dict[str, float]:
    """Connections kept, KiB each, and milliseconds of a request on a connection of its own beside them, if there was an
    answer."""
    with ExitStack() as stack:
        for number in range(_WARMED):
            with _connect(port) as warm:
                _ask(warm, requests[number % len(requests)])
        before, kept = memory_bytes(pid), 0
        for number in range(crowd):
            one = stack.enter_context(_connect(port))
            if not _ask(one, requests[number % len(requests)]):
                break
            kept += 1
        found = {"connections": float(kept), "KiB each": (memory_bytes(pid) - before) / max(kept, 1) / 1024}
        begun = time.perf_counter()
        with _connect(port) as beside:
            if _ask(beside, requests[0]):
                found["ms of one that asks beside them"] = (time.perf_counter() - begun) * 1000
    return found


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)


def _ask(connection: socket.socket, request: bytes) -> bool:
    """Whether it was answered in time, with 200."""
    try:
        connection.sendall(request)
        return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
