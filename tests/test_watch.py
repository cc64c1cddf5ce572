"""The live table, on a real pseudo-terminal, read back from a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from conftest import ALIKASSA, Server, Shop, nobodys_environment
from monitored import Watched, watched

#: What a terminal of so many columns shows, spacing, ages and the trend's length evened out.
SCREENS = Path(__file__).parent / "screens"


class Terminal:
    """A command on a terminal of this width, and what its screen shows."""

    def __init__(self, width: int, env: dict[str, str], *arguments: str) -> None:
        self.screen = pyte.Screen(width, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        environment = {k: v for k, v in nobodys_environment().items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [ALIKASSA, *arguments],
            env=environment | env | {"TERM": "xterm"},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def lines(self) -> str:
        """The screen without frames and spacing; ages are alike, and so is how the trend stretches."""
        found = (re.sub(r"\d+ (s|min)\b", r"N \1", " ".join(line.split())) for line in self.screen.display)
        return re.sub(r"▁+█+", "▁█", "\n".join(line for line in found if line.strip("─ ")))

    def until(self, words: str) -> str:
        end = time.monotonic() + 20
        while words not in self.lines():
            assert time.monotonic() < end, self.lines()
            if select.select([self._ours], [], [], 0.2)[0]:
                self._stream.feed(os.read(self._ours, 65536))
        return self.lines()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.mark.parametrize("width", [120, 80])
def test_the_table(sqlite_shop: Shop, tmp_path: Path, serve: Callable[..., Server], width: int) -> None:
    """At both widths: the four numbers uncut, a payment that comes while it runs as a change and a trend; when the
    server is gone, the same numbers with their age and with what is wrong. Ctrl-C ends it with 130."""
    server = serve(sqlite_shop.database)
    shop: Watched = watched(sqlite_shop, tmp_path, server.url)
    terminal = Terminal(width, shop.env, "watch", "--every", "2s")
    try:
        terminal.until("93.84000000")
        shop.pay("10", "while-it-runs")
        assert f"{terminal.until('+10.00000000')}\n" == (SCREENS / f"watch-{width}.txt").read_text()
        server.stop()
        after = terminal.until("no answer for")
        assert "103.84000000" in after
        assert "shop: no answer for N s: No answer from 127.0.0.1" in after
        for secret in shop.secrets():
            assert secret.decode() not in after
        assert terminal.interrupt() == 130
    finally:
        terminal.close()


def test_a_table_needs_a_terminal(sqlite_shop: Shop, tmp_path: Path) -> None:
    """Into a pipe there is --ndjson, and the refusal says so."""
    done = watched(sqlite_shop, tmp_path, "http://127.0.0.1:9").run("watch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--ndjson" in done.stderr
