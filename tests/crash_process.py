"""Starting the program that is killed, and what it told."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from crash_checks import told

WRITER = Path(__file__).with_name("crash_writer.py")
#: Kills an engine: `make test` does with a few.
KILLS = 50 if os.environ.get("ALIKASSA_LONG") else 5


@dataclass
class Writing:
    """A writer that runs, and the file that it tells in."""

    process: subprocess.Popen[bytes]
    file: Path

    def said(self, what: str) -> list[str]:
        return told(self.file.read_text(), what)

    def wait_for_more(self, what: str = "acknowledged", seconds: float = 30) -> None:
        """Until it said so of one command more than now."""
        before, until = len(self.said(what)), time.monotonic() + seconds
        while len(self.said(what)) <= before:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read().decode()
            assert time.monotonic() < until, f"nothing was {what} for {seconds} s"
            time.sleep(0.01)

    def kill(self) -> None:
        """With SIGKILL: it can do nothing about it."""
        self.process.kill()
        self.process.communicate()


def start_writer(url: str, file: Path, run: str, accounts: list[uuid.UUID]) -> Writing:
    process = subprocess.Popen([sys.executable, WRITER, url, file, run, *map(str, accounts)], stderr=subprocess.PIPE)
    return Writing(process, file)


def seeded() -> random.Random:
    """Chance that can be had again: its seed is printed, and taken from ALIKASSA_SEED."""
    seed = int(os.environ.get("ALIKASSA_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ALIKASSA_SEED={seed}")  # noqa: T201 - shown when the test fails
    return random.Random(seed)  # noqa: S311 - a test's chance
