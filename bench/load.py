"""Load on one server: wrk where it is installed, else `load_generator.py`; one of them for a whole run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from processes import BENCH, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONNECTIONS", "Load", "Measured"]

CONNECTIONS = 32


@dataclass(frozen=True)
class Measured:
    """What one round brought. `p50_ms` and `p99_ms` are latencies under this load."""

    requests: int
    seconds: float
    refused: int
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Load:
    """The load generator of this run."""

    def __init__(self, requests: Path, body: bytes) -> None:
        self._requests, self._body = requests, body.decode()
        self._wrk = shutil.which("wrk")

    @property
    def is_fast(self) -> bool:
        """Whether it is faster than the fastest server of a run."""
        return self._wrk is not None

    @property
    def name(self) -> str:
        if self._wrk is None:
            return (
                f"bench/load_generator.py, {CONNECTIONS} connections: wrk is not installed, and this one is slower"
                " than a bare server, so ratios to that are not judged"
            )
        about = subprocess.run([self._wrk, "-v"], capture_output=True, text=True, check=False)
        version = (about.stdout + about.stderr).split()[1].partition("-")[0].removeprefix("debian/")
        return f"wrk {version}, 1 thread, {CONNECTIONS} connections"

    def put_on(self, port: int, seconds: int) -> Measured:
        """Load one server. RuntimeError when it refuses a single request or drops a connection: what is then
        measured is something else."""
        url = f"http://127.0.0.1:{port}/v1/account/balance"
        if self._wrk is None:
            command = [sys.executable, str(BENCH / "load_generator.py"), "--port", str(port)]
            command += ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
            command += ["--body", self._body, str(self._requests)]
        else:
            command = [self._wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
            command += ["-s", str(BENCH / "balance.lua"), url, "--", str(self._requests), self._body]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60, check=False, env=clean_environment()
        )
        if done.returncode != 0:
            raise RuntimeError(f"the load generator failed:\n{done.stdout}{done.stderr}")
        measured = Measured(**json.loads(done.stdout.splitlines()[-1]))
        if measured.refused or measured.failed or not measured.requests or "Non-2xx" in done.stdout:
            raise RuntimeError(f"not every request was answered with 200 by {url}:\n{done.stdout}")
        return measured
