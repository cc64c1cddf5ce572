"""What a server is said to take of the machine is what it takes, its workers included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from taken import cpu_seconds, memory_bytes

# A process that does nothing, and one below it that has worked for 0.3 s and holds 50 MB.
CHILD = """
import time
held = b"x" * 50_000_000
while time.process_time() < 0.3: pass
print(time.process_time(), flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.fixture
def worked() -> Iterator[tuple[int, float]]:
    """The process, and what the one below it says it has worked."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, float(process.stdout.readline())
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.by_the_clock
def test_processes_below_are_counted(worked: tuple[int, float]) -> None:
    """Processor time to the clock's ticks, and starting both is little beside it; memory with all that is held."""
    pid, seconds = worked
    assert seconds - 0.02 <= cpu_seconds(pid) <= seconds + 0.5
    assert 50_000_000 < memory_bytes(pid) < 50_000_000 + 80 * 2**20
