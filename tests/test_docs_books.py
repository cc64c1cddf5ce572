"""What docs/books.md shows works as it stands, and prints what stands under it."""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from alikassa.ledger.policy import Policy, withhold
from alikassa.money import to_units
from command_line import call

TEXT = (Path(__file__).parent.parent / "docs" / "books.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
MARK = "=== the next block ==="
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

# A shell runs some thirty commands: each would be a process that takes half a second, were it not answered from here.
ALIKASSA = r"""#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/PORT
printf '%s\0' "$#" "${ALIKASSA_DATABASE-}" "$@" >&3
IFS= read -r -d '' code <&3
IFS= read -r -d '' said <&3
printf '%s' "$said" >&2
cat <&3
exit "$code"
"""


class Handler(socketserver.StreamRequestHandler):
    """One command of the shell: its number of words, its database, its words; then exit code, stderr, stdout."""

    def handle(self) -> None:
        count, database = self._word(), self._word()
        done = call(*[self._word() for _ in range(int(count))], env={"ALIKASSA_DATABASE": database})
        self.wfile.write("\0".join((str(done.returncode), done.stderr, done.stdout)).encode())

    def _word(self) -> str:
        word = b""
        while not word.endswith(b"\0"):
            word += self.rfile.read(1)
        return word[:-1].decode()


@pytest.fixture
def bin_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with an `alikassa` that runs in this process."""
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "alikassa"
        program.write_text(ALIKASSA.replace("PORT", str(server.server_address[1])))
        program.chmod(0o755)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


class Shown(NamedTuple):
    """A block of shell, and the output that stands under it."""

    script: str
    output: str


def shown() -> list[Shown]:
    after = [*BLOCKS[1:], ("", "")]
    return [
        Shown(text, then if kind == "text" else "")
        for (language, text), (kind, then) in zip(BLOCKS, after, strict=True)
        if language == "sh"
    ]


def plain(text: str) -> list[str]:
    """Lines without a table's frame and spacing. Times are alike: they change from run to run."""
    lines = (" ".join(TIME.sub("TIME", line).split()) for line in text.splitlines())
    return [line for line in lines if line.strip("─ ")]


def test_blocks_print_what_stands_under_them(bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks, run by one shell one after the other, print the lines that are shown under each, in that order."""
    monkeypatch.chdir(tmp_path)
    blocks = shown()
    script = f"echo '{MARK}'\n".join(block.script for block in blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"exec 2>&1\n{script}"],
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    missing: list[str] = []
    for block, printed in zip(blocks, done.stdout.split(f"{MARK}\n"), strict=True):
        rest = iter(plain(printed))
        missing += [line for line in plain(block.output) if line not in rest]
    assert missing == []


def test_every_output_shown_belongs_to_a_block() -> None:
    """No output stands alone, unchecked: what is no shell and no output is marked as something else."""
    assert len([block for block in shown() if block.output]) == len([kind for kind, _ in BLOCKS if kind == "text"]) > 5


def test_payments_of_the_table_are_divided_so() -> None:
    """The payments of other sizes, down to one that its fee exceeds, are what the policy shown makes of them."""
    policy = Policy(
        fee_percent=to_units("2.9"),
        fee_fixed=to_units("10"),
        hold_percent=to_units("20"),
        hold_days=2,
        reserve_percent=to_units("5"),
        reserve_days=30,
    )
    number = r"(-?[\d.]+)[^|]*"
    rows = re.findall(rf"^\| {number} \| {number} \| {number} \| {number} \| {number} \|$", TEXT, re.MULTILINE)
    divided = [[to_units(part) for part in row] for row in rows]
    withheld = [withhold(policy, row[0]) for row in divided]
    assert len(rows) == 4
    assert [[one.fee, one.reserve, one.hold, one.balance] for one in withheld] == [row[1:] for row in divided]
