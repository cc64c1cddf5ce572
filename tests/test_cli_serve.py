"""`alikassa serve` and `alikassa demo` as processes: how they start, what they print, how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trustme

from cabinet_server import Visitor
from command_line import CONFIGURATION, USAGE
from conftest import ALIKASSA, PAGE_ANSWER, Server, Shop, free_port, run_cli
from raw_http import ask, balance_headers, request

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Running:
    """A command that goes on until it is stopped."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def wait_for(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not ready():
            assert time.monotonic() < until, self.stderr.read_text()
            assert self.process.poll() is None, self.stderr.read_text()
            time.sleep(0.05)

    def port(self) -> int:
        """The port that it says, or 0."""
        said = ADDRESS.search(self.stderr.read_text())
        return int(said[1]) if said else 0

    def healthy(self) -> bool:
        return answers(self.port())

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


def answers(port: int) -> bool:
    """Whether a server of ours answers there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Running]:
    """Start a command in a session of its own, with a folder of its own for temporary files, and end all of it."""
    (folder / "tmp").mkdir()
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            [ALIKASSA, *arguments],
            stdout=out,
            stderr=err,
            start_new_session=True,
            env=os.environ | {"TMPDIR": str(folder / "tmp"), "ALIKASSA_OPERATOR_PORT": "0"},
        )
    try:
        yield Running(process, stdout, stderr)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# serve


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_well_when_told_to_stop(sqlite_url: str, tmp_path: Path, how: signal.Signals) -> None:
    """A server that took a free port (--port 0) and said so on stderr ends with exit code 0 at Ctrl-C or SIGTERM."""
    with running(tmp_path, "serve", "--database", sqlite_url, "--port", "0") as server:
        server.wait_for(server.healthy)
        assert server.stop(how) == 0
        assert "Traceback" not in server.stderr.read_text()
        assert server.stdout.read_bytes() == b""


def test_serve_with_workers_ends_well(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """Two workers answer, and SIGTERM ends them all with exit code 0."""
    server = serve(sqlite_shop.database, "--workers", "2")
    asked = request(balance_headers(sqlite_shop.payout).items())
    assert {ask(server, asked).body for _ in range(8)} == {PAGE_ANSWER}
    assert server.stop() == 0
    assert not answers(server.port)


def test_port_in_use_is_said(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """A port that another server holds is not shared with it: exit 3, and the message names the port."""
    server = serve(sqlite_shop.database)
    done = run_cli("serve", "--database", sqlite_shop.database, "--port", str(server.port))
    assert (done.returncode, done.stdout) == (CONFIGURATION, "")
    assert all(words in done.stderr for words in (str(server.port), "in use"))
    assert "Traceback" not in done.stderr


TLS = {
    "certificate without key": ["--tls-cert", "server.pem"],
    "missing file": ["--tls-cert", "nowhere.pem", "--tls-key", "server.key"],
    "key of another certificate": ["--tls-cert", "server.pem", "--tls-key", "other.key"],
}


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    for name in ("server", "other"):
        identity = authority.issue_cert("127.0.0.1")
        identity.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        identity.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    return folder


@pytest.mark.parametrize("options", [pytest.param(options, id=name) for name, options in TLS.items()])
def test_tls_files_that_do_not_work_are_refused(sqlite_url: str, tls_files: Path, options: list[str]) -> None:
    """A server never starts with TLS files that do not fit: the message speaks of TLS, without a traceback."""
    files = [option if option.startswith("--") else str(tls_files / option) for option in options]
    done = run_cli("serve", "--database", sqlite_url, "--port", str(free_port()), *files)
    assert done.returncode in (USAGE, CONFIGURATION)
    assert done.stdout == ""
    assert "TLS" in done.stderr
    assert "Traceback" not in done.stderr


# demo


@dataclass(frozen=True)
class Demo:
    done: subprocess.CompletedProcess[str]
    left: list[str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One whole demonstration, and what it left of its temporary files."""
    folder = tmp_path_factory.mktemp("demo")
    done = run_cli("demo", env={"TMPDIR": str(folder)})
    return Demo(done, [file.name for file in folder.iterdir()])


def test_demo_succeeds_and_prints_the_pages_answer(demo: Demo) -> None:
    """`alikassa demo` ends by itself with exit 0, and the first answer on its stdout is the page's, to the byte."""
    assert demo.done.returncode == 0, demo.done.stderr
    assert next(line for line in demo.done.stdout.splitlines() if line.startswith("{")) == PAGE_ANSWER.decode()


def test_demo_shows_the_five_fields_as_a_table(demo: Demo) -> None:
    """Before the raw response the five fields are shown for people."""
    words = demo.done.stdout.partition("{")[0].split()
    assert [word for word in ("balance", "93.84000000", "pending_payouts", "1234.00000000") if word not in words] == []


def test_demo_leaves_nothing(demo: Demo) -> None:
    """Its keys and books are gone when it ends."""
    assert demo.left == []


def test_demo_says_on_stderr_what_it_does(demo: Demo) -> None:
    """Its steps are messages: they are on stderr, and tell of no trouble."""
    assert "POST" in demo.done.stderr
    assert "Traceback" not in demo.done.stderr


def test_kept_demo_answers_until_ctrl_c(tmp_path: Path) -> None:
    """`alikassa demo --keep` goes on answering after it has shown its answer, and Ctrl-C ends it with exit 0."""
    with running(tmp_path, "demo", "--keep") as kept:
        kept.wait_for(lambda: b"Ctrl-C stops it" in kept.stderr.read_bytes())
        assert PAGE_ANSWER in kept.stdout.read_bytes()
        time.sleep(0.5)
        assert kept.process.poll() is None
        assert kept.healthy()
        assert kept.stop(signal.SIGINT) == 0


def test_kept_demo_prints_a_login_for_the_cabinet(tmp_path: Path) -> None:
    """`alikassa demo --keep` ends by printing a link and two logins, and they open the cabinet."""
    with running(tmp_path, "demo", "--keep") as kept:
        kept.wait_for(lambda: b"login operator" in kept.stderr.read_bytes())
        told = kept.stderr.read_text()
        link = re.search(r"(http://localhost:[0-9]+)/cabinet/", told)
        assert link is not None
        for login, first in (("shop", "/cabinet/accounts"), ("operator", "/cabinet/operator")):
            password = re.search(rf"login {login}, +password (\S+)", told)
            assert password is not None
            visitor = Visitor(link[1])
            assert visitor.log_in(login, password[1]).status_code == 303
            assert visitor.get("/cabinet/").headers["location"] == first


def test_kept_demo_leaves_nothing_when_it_is_ended(tmp_path: Path) -> None:
    """When a kept demo gets SIGTERM, its server stops with it, and its keys and books are gone."""
    with running(tmp_path, "demo", "--keep") as kept:
        kept.wait_for(lambda: b"Ctrl-C stops it" in kept.stderr.read_bytes())
        port = kept.port()
        kept.stop(signal.SIGTERM)
        assert not answers(port)
        assert list((tmp_path / "tmp").iterdir()) == []
