"""The units of contrib/systemd: what they ask for is there, and the server works with what they leave it."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EAFNOSUPPORT, EPERM
from pathlib import Path

import pytest
import requests

from alikassa.server.settings import Settings
from behind_nginx import CONTRIB, require
from cabinet_server import Cabinet, _people
from cabinet_server import _answers as cabinet_answers
from conftest import (
    ALIKASSA,
    PAGE_ACCOUNT,
    PAGE_ANSWER,
    Server,
    free_port,
    make_shop,
    nobodys_environment,
    run_cli,
    signed,
)
from filtered import settings_of
from operator_server import make_tokens, operator_url, wait_until

UNIT = CONTRIB / "systemd" / "alikassa.service"
TLS = CONTRIB / "systemd" / "alikassa-tls.conf"
PROGRAM = "/opt/alikassa/bin/alikassa"


def here(text: str) -> str:
    """The unit with the program of this environment."""
    assert PROGRAM in text
    return text.replace(PROGRAM, str(ALIKASSA))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the service and its drop-in for TLS."""
    (tmp_path / UNIT.name).write_text(here(UNIT.read_text()))
    drop_in = tmp_path / f"{UNIT.name}.d"
    drop_in.mkdir()
    (drop_in / "tls.conf").write_text(here(TLS.read_text()))
    return tmp_path


def test_systemd_understands_the_unit(units: Path) -> None:
    """`systemd-analyze verify` has nothing to say of it, with the drop-in or without."""
    analyze = require("systemd-analyze", "systemd")
    for _ in range(2):
        done = subprocess.run([analyze, "verify", units / UNIT.name], capture_output=True, text=True, check=False)
        # The machine's own units are looked at, too.
        own = [line for line in f"{done.stdout}{done.stderr}".splitlines() if "alikassa" in line]
        assert own == []
        (units / f"{UNIT.name}.d" / "tls.conf").unlink(missing_ok=True)


def test_systemd_finds_little_exposed(units: Path) -> None:
    """The exposure is 1.2 of 10 or less: what is left is the network, and a user's own."""
    analyze = require("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=12", "--no-pager", units / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stop_has_time_enough() -> None:
    """systemd waits longer than the merchants' server and the operator's process, one after the other."""
    unit = UNIT.read_text()
    (command,), (wait,) = settings_of(unit, "ExecStart"), settings_of(unit, "TimeoutStopSec")
    asked = int(shlex.split(command)[shlex.split(command).index("--shutdown-seconds") + 1])
    assert asked == Settings("").shutdown_seconds
    assert int(wait) > 2 * asked + 1


def test_it_is_started_again_however_long_the_database_is_away(unused_port: int) -> None:
    """A start without a database fails at once, and systemd tries again without an end."""
    unit = UNIT.read_text()
    assert (settings_of(unit, "Restart"), settings_of(unit, "StartLimitIntervalSec")) == (["on-failure"], ["0"])
    done = run_cli("serve", "--database", f"postgresql://postgres@127.0.0.1:{unused_port}/books", "--port", "0")
    assert done.returncode > 0
    assert "cannot be reached" in done.stderr


@contextmanager
def started(folder: Path, database: str) -> Iterator[Server]:
    """The server by the unit's own command line, on free ports, under the unit's filters."""
    port, log = free_port(), folder / "log"
    (command,) = settings_of(here(UNIT.read_text()), "ExecStart")
    command = re.sub(r"--port \d+", f"--port {port}", command)
    settings = {"ALIKASSA_DATABASE": database, "ALIKASSA_OPERATOR_PORT": "0"}
    script = Path(__file__).with_name("filtered.py")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, script, UNIT, *shlex.split(command)],
            stderr=written,
            env=nobodys_environment() | settings,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(server))
        assert process.poll() is None, server.log()
        yield server
    finally:
        server.stop()


def _answers(server: Server) -> bool:
    try:
        return server.request("GET", "/readyz")[0] == 200
    except OSError:
        return False


def test_the_server_works_with_what_the_unit_leaves_it(tmp_path: Path, archives: Callable[[str], Path]) -> None:
    """By the unit's command line, and under its filters of system calls, sockets and memory, it answers a signed
    request, lets somebody into the cabinet, books, and ends well when it is told to."""
    require("systemd-analyze", "systemd")
    database = f"sqlite:///{tmp_path / 'books.db'}"
    make_shop(database, archives("payout"), archives("payment"))
    people, (token, _) = asyncio.run(_people(database, "en")), asyncio.run(make_tokens(database))
    with started(tmp_path, database) as server:
        answer = server.request("POST", "/v1/account/balance", signed(archives("payout"), b"{}"), b"{}")
        assert (answer[0], answer[2]) == (200, PAGE_ANSWER)
        url = operator_url(server)
        wait_until(lambda: cabinet_answers(url))
        Cabinet(server, url, database, *people).visitor("owner")
        booked = requests.post(
            f"{url}/operator/v1/accounts/{PAGE_ACCOUNT}/payment",
            json={"reference": "order-1", "amount": "10"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )
        assert booked.status_code in (200, 201), booked.text
        assert server.stop() == 0
    assert "EPERM" not in server.log()
    assert "Operation not permitted" not in server.log()


def test_the_filters_hold(tmp_path: Path) -> None:
    """What the unit forbids fails in a process that is started so: the test above says something."""
    require("systemd-analyze", "systemd")
    tried = """
import ctypes, mmap, os, socket
for attempt in (
    lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    lambda: os.chroot("/"),
    lambda: os.nice(1),
    lambda: socket.socket(),
):
    try:
        attempt()
        print("done")
    except OSError as error:
        print(error.errno)
"""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("filtered.py"), UNIT, sys.executable, "-c", tried],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(EPERM), str(EAFNOSUPPORT), str(EPERM), str(EPERM), "done"]


def test_the_drop_in_serves_tls_with_the_credentials(tmp_path: Path) -> None:
    """Its command line is understood, and the server looks for its certificate where systemd puts the credentials."""
    command = settings_of(TLS.read_text(), "ExecStart")
    assert command[0] == ""
    loaded = [line.partition(":")[0] for line in settings_of(TLS.read_text(), "LoadCredential")]
    assert re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", command[1]) == loaded
    program, *arguments = shlex.split(command[1].replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)))
    assert program == PROGRAM
    done = run_cli(*arguments, env={"ALIKASSA_DATABASE": f"sqlite:///{tmp_path / 'books.db'}"})
    assert done.returncode == 3
    assert f"The TLS certificate {tmp_path / 'tls.pem'}" in done.stderr
