"""One worker and two: balance requests a second, and what processor time the server takes for one."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from engines import ENGINES
from processes import BENCH, free_port, progress, running, serve_command
from results import Row, Section, Target
from taken import cpu_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from engines import Stores
    from load import Load

__all__ = ["ANEW", "measure_workers"]

#: What the row of requests whose signature no server remembers is called.
ANEW = "every signature verified anew"
_WORKERS = (1, 2)
_BARE = "bare hello"
_CPU_OF_BARE = Target(4, below=True)


def measure_workers(
    folder: Path, stores: Stores, load: Load, anew: Load, *, rounds: int, seconds: int
) -> tuple[Section, Section]:
    """`anew` asks with a body that is too long to be remembered. The database's processor time is not counted."""
    servers: dict[tuple[str, int], tuple[int, int]] = {}
    rates: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        for who in (*ENGINES, _BARE):
            for workers in _WORKERS:
                port = free_port()
                command = _command(stores, who, port, workers)
                log = folder / f"workers-{port}.log"
                servers[who, workers] = stack.enter_context(running(who, command, port, log)), port
                load.put_on(port, min(seconds, 2))
        runs = [(_name(who, workers), load, *of) for (who, workers), of in servers.items()]
        runs += [(f"{_name(engine, 1)}, {ANEW}", anew, *servers[engine, 1]) for engine in ENGINES]
        for number in range(rounds):
            for name, using, pid, port in runs:
                before = cpu_seconds(pid)
                found = using.put_on(port, seconds)
                each = (cpu_seconds(pid) - before) / found.requests * 1e6
                rates.setdefault(name, []).append(found.rate)
                times.setdefault(name, []).append(each)
                progress(f"  round {number + 1}/{rounds}  {name:<64} {found.rate:>8,.0f}/s  {each:.1f} us")
    return _rates(rates), _times(times)


def _command(stores: Stores, who: str, port: int, workers: int) -> list[str]:
    if who == _BARE:
        return [sys.executable, str(BENCH / "bare_server.py"), "--port", str(port), "--workers", str(workers)]
    return serve_command(stores.ours[who], port, "--workers", str(workers))


def _name(who: str, workers: int) -> str:
    return f"{who if who == _BARE else f'alikassa, {who}'}, {workers} worker{'s' if workers > 1 else ''}"


def _rates(samples: dict[str, list[float]]) -> Section:
    rows = {name: Row(name, found) for name, found in samples.items()}
    for who in (*ENGINES, _BARE):
        two = rows[_name(who, 2)]
        # The bare server's tells of the machine alone, and is nothing that we could make worse.
        two.comparisons = (replace(two.over(rows[_name(who, 1)]), travels=who != _BARE),)
    for engine in ENGINES:
        row = rows[f"{_name(engine, 1)}, {ANEW}"]
        row.comparisons = (row.over(rows[_name(engine, 1)]),)
    return Section("One worker and two, balance requests/s", tuple(rows.values()))


def _times(samples: dict[str, list[float]]) -> Section:
    rows = {name: Row(name, found) for name, found in samples.items()}
    for engine in ENGINES:
        one, two = rows[_name(engine, 1)], rows[_name(engine, 2)]
        one.comparisons = (one.over(rows[_name(_BARE, 1)], _CPU_OF_BARE),)
        two.comparisons = (two.over(one),)
        row = rows[f"{_name(engine, 1)}, {ANEW}"]
        row.comparisons = (row.over(one),)
    heading = "Processor time of the server a request, microseconds"
    return Section(heading, tuple(rows.values()), lower_is_better=True)
