"""An open loop: requests leave at fixed times, whatever becomes of earlier ones. What open_loop.c measures, for Python.

A closed loop (wrk) asks less of a server that has become slow, and so never sees how long its users would wait. Here
latencies count from when a request was due.

    open_loop.py PORT REQUESTS --steps 5000:5,30000:10,5000:5

REQUESTS has lines of account, tab, `Sign`. Prints the result as JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from load_generator import build_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Counts", "Latencies", "Result", "Second", "Step", "compiler", "run"]

_SOURCE = Path(__file__).resolve().parent
_BUILT = _SOURCE.parent / "build" / "bench"


@dataclass(frozen=True)
class Step:
    """So many arrivals a second, for so many seconds. A rate of 0 is a pause."""

    rate: float
    seconds: float


@dataclass(frozen=True)
class Latencies:
    """Milliseconds from when a request was due to the end of its answer, to 1 %; 0 when there is none."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    longest_ms: float


@dataclass(frozen=True)
class Counts:
    """What became of the arrivals of a step, wherever the step ended: each is counted once.

    `ok` is 2xx, `limited` 429, `unavailable` 503. `broken` ones lost their connection, or what came back is no answer.
    `not_sent` ones waited for a connection as long as the timeout, or found too many waiting.
    """

    seconds: float
    arrivals: int
    ok: int
    limited: int
    unavailable: int
    other: int
    timeouts: int
    connect_errors: int
    broken: int
    not_sent: int
    ok_latency: Latencies
    refused_latency: Latencies

    @property
    def rate(self) -> float:
        """Answers with success a second."""
        return self.ok / self.seconds

    @property
    def refused(self) -> int:
        """Answered with 429 or 503."""
        return self.limited + self.unavailable

    @property
    def failed(self) -> int:
        """Neither answered with success nor refused."""
        return self.arrivals - self.ok - self.refused


@dataclass(frozen=True)
class Second:
    """What came back within one second of the run. `p99_ms` is of the answers with success."""

    ok: int
    refused: int
    failed: int
    p99_ms: float


@dataclass(frozen=True)
class Result:
    """A run: step by step, second by second (from the first arrival to the last answer), and altogether.

    `connections` is the most that were open at once. `lag` is how late the generator itself was: when it is not small
    beside the latencies, the machine was too busy to measure them.
    """

    steps: tuple[Counts, ...]
    total: Counts
    seconds: tuple[Second, ...]
    connections: int
    lag: Latencies


def compiler() -> str | None:
    """The C compiler that there is, `CC` or cc."""
    return shutil.which(os.environ.get("CC") or "cc")


@cache
def _program() -> Path:
    """The compiled program; compiled when its sources have changed."""
    sources = sorted(_SOURCE.glob("open_loop*.[ch]"))
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in sources)).hexdigest()[:16]
    program = _BUILT / f"open_loop-{digest}"
    if program.exists():
        return program
    found = compiler()
    if found is None:
        raise RuntimeError("no C compiler for bench/open_loop.c: install one (apt-get install gcc libc6-dev)")
    _BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        made = Path(folder) / program.name
        command = [found, "-O2", "-Wall", "-Werror", "-o", str(made), str(_SOURCE / "open_loop.c"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"bench/open_loop.c was not compiled:\n{done.stderr}")
        # Whole or not there: another process may be compiling it too.
        made.replace(program)
    return program


def run(
    port: int,
    requests: Path | Sequence[bytes],
    steps: Sequence[Step],
    *,
    connections: int = 32,
    most: int = 512,
    timeout: float = 2.0,
    waiting: int = 100_000,
    seed: int = 0,
    host: str = "127.0.0.1",
) -> Result:
    """Load the server at `host`:`port`; returns when the last answer is there, at most two timeouts after the steps.

    `requests` are whole HTTP/1.1 requests that keep their connection, or a file of `workload.write_requests`; they are
    sent in turn. `connections` are open before it begins; while arrivals wait for one, more are opened, up to `most`.
    `timeout` seconds after it was sent, a request has failed and its connection is closed; no more than `waiting` wait
    to be sent, and none longer than `timeout`. With a `seed`, arrivals are drawn at random (Poisson) instead of spaced
    evenly. RuntimeError without a C compiler, or when the first connections cannot be made.
    """
    if isinstance(requests, Path):
        requests = build_requests(requests, port)
    with tempfile.TemporaryDirectory(prefix="alikassa-open-loop-") as folder:
        # They hold a Sign each. The folder is its owner's alone.
        file = Path(folder) / "requests"
        file.write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in requests))
        command: list[str | Path] = [_program(), host, str(port), file]
        command += [",".join(f"{one.rate:f}:{one.seconds:f}" for one in steps)]
        command += map(str, (connections, most, round(timeout * 1000), waiting, seed))
        patience = sum(one.seconds for one in steps) + 3 * timeout + 30
        done = subprocess.run(command, capture_output=True, timeout=patience, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()}")
    return msgspec.json.decode(done.stdout, type=Result)


def _steps(text: str) -> list[Step]:
    return [Step(*map(float, one.split(":"))) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Load a server with signed balance requests at fixed rates.")
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path, help="lines of account, tab, Sign")
    parser.add_argument("--steps", type=_steps, required=True, metavar="RATE:SECONDS,...", help="requests/s, how long")
    parser.add_argument("--connections", type=int, default=32, help="open before it begins")
    parser.add_argument("--most", type=int, default=512, help="open at once")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds after a request was sent")
    parser.add_argument("--waiting", type=int, default=100_000, help="arrivals that may wait for a connection")
    parser.add_argument("--seed", type=int, default=0, help="arrivals drawn at random; 0: spaced evenly")
    options = vars(parser.parse_args())
    found = run(options.pop("port"), options.pop("requests"), options.pop("steps"), **options)
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


if __name__ == "__main__":
    main()
