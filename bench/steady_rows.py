"""What a balance takes at fixed rates, shares of what the same server answers at most: an open loop."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

import open_loop
from engines import ENGINES
from open_loop import Step
from processes import BENCH, free_port, progress, running, serve_command
from results import Row, Section, Target

if TYPE_CHECKING:
    from pathlib import Path

    from engines import Stores
    from load import Load
    from open_loop import Result

__all__ = ["measure_rates"]

_SHARES = (0.25, 0.5, 0.75, 0.9)
#: The share at which ours is compared.
_COMPARED = 0.5
_BARE = "bare hello"
#: The bare server is asked at two shares of its own most. At a half it is as busy as ours, and a queue makes as much of
#: the waits; but with the generator it fills two processors, and a pause of the machine alone then makes its 99 %
#: anything from 2 to 170 ms. At a quarter it is asked about as often as ours, and its rounds differ by a tenth.
_AS_BUSY, _AS_OFTEN = 0.5, 0.25
_PARTS = {"half within": "p50_ms", "90% within": "p90_ms", "99% within": "p99_ms", "99.9% within": "p999_ms"}
# Twice its time for each request makes twice its waits; what is done beside the answers makes the rest.
_OF_AS_BUSY = Target(6, below=True)
#: The generator shares the processors: it takes about as many connections as wrk.
_CONNECTIONS = 32
#: Not counted: in the first second after the generator has started, the bare server too takes up to 100 ms.
_WARM_SECONDS = 1


def measure_rates(
    folder: Path, stores: Stores, load: Load, requests: Path, facts: dict[str, str], *, rounds: int, seconds: int
) -> Section:
    """Milliseconds from when each request was due, drawn at random (Poisson). What is not answered with 200 is told in
    `facts`, as are the rates."""
    servers = {engine: _ours(engine) for engine in ENGINES}
    ports = {name: free_port() for name in (*servers.values(), _BARE)}
    commands = {name: serve_command(stores.ours[engine], ports[name]) for engine, name in servers.items()}
    commands[_BARE] = [sys.executable, str(BENCH / "bare_server.py"), "--port", str(ports[_BARE])]
    samples: dict[str, list[float]] = {}
    amiss: list[str] = []
    with ExitStack() as stack:
        for name, command in commands.items():
            stack.enter_context(running(name, command, ports[name], folder / f"rates-{name}.log"))
            load.put_on(ports[name], min(seconds, 2))
        most = {
            name: median(load.put_on(port, seconds).rate for _ in range(min(rounds, 3))) for name, port in ports.items()
        }
        facts["Fixed rates"] = ", ".join(
            f"{_COMPARED:.0%} of {name} is {rate * _COMPARED:,.0f}/s" for name, rate in most.items()
        )
        for number in range(rounds):
            for name, port in ports.items():
                for share in (_AS_OFTEN, _AS_BUSY) if name == _BARE else _SHARES:
                    steps = [Step(most[name] * share, _WARM_SECONDS), Step(most[name] * share, seconds)]
                    found = open_loop.run(port, requests, steps, connections=_CONNECTIONS, seed=number + 1)
                    _keep(samples, f"{name}, {share:.0%}", found, amiss)
    if amiss:
        facts["Not all answered"] = "; ".join(amiss)
    return Section(
        "A balance at fixed rates, shares of the most, ms (open loop)", _compare(samples), lower_is_better=True
    )


def _keep(samples: dict[str, list[float]], who: str, found: Result, amiss: list[str]) -> None:
    warm = found.steps[-1]
    for part, field in _PARTS.items():
        samples.setdefault(f"{who}, {part}", []).append(getattr(warm.ok_latency, field))
    progress(
        f"  {who:<44} {warm.arrivals / warm.seconds:>8,.0f}/s  half within"
        f" {warm.ok_latency.p50_ms:.2f} ms, 99% within {warm.ok_latency.p99_ms:.2f} ms"
        f" (of that the generator's own lateness {found.lag.p99_ms:.2f} ms)"
    )
    if found.total.ok < found.total.arrivals:
        amiss.append(f"{who}: {found.total.arrivals - found.total.ok:,} of {found.total.arrivals:,}")


def _ours(engine: str) -> str:
    return f"alikassa, {engine}"


def _compare(samples: dict[str, list[float]]) -> tuple[Row, ...]:
    rows = {name: Row(name, found) for name, found in samples.items()}
    for engine in ENGINES:
        for part in ("half within", "90% within"):
            ours = rows[f"{_ours(engine)}, {_COMPARED:.0%}, {part}"]
            ours.comparisons = (ours.over(rows[f"{_BARE}, {_AS_OFTEN:.0%}, {part}"]),)
        # Of the last thousandth a few dozen requests a round decide: it is to be read, not to be compared.
        ours = rows[f"{_ours(engine)}, {_COMPARED:.0%}, 99% within"]
        busy = rows[f"{_BARE}, {_AS_BUSY:.0%}, 99% within"]
        ours.comparisons = (ours.over(busy, _OF_AS_BUSY, steady=False),)
    return tuple(rows.values())
