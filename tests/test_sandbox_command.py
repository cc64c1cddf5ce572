"""`alikassa sandbox`: its settings, its control API, the examples of other languages, its end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from alikassa import Client
from alikassa.testing import Sandbox
from alikassa.testing.connections import Headers, Request
from alikassa.testing.control import Control
from conftest import ALIKASSA, PAGE_ACCOUNT, PAGE_ANSWER, nobodys_environment, run_cli
from test_examples import FIVE_LINES, REFUSED, command_of, environment, require

FREE = ("--port", "0", "--control-port", "0")


@dataclass(frozen=True)
class Running:
    """A running `alikassa sandbox`, and what it printed on stdout."""

    process: subprocess.Popen[str] | None
    settings: dict[str, str]

    def control(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection(urlsplit(self.settings["ALIKASSA_CONTROL_URL"]).netloc, timeout=20)
        try:
            content = None if body is None else json.dumps(body)
            typed = {"Content-Type": "application/json"} if content else {}
            connection.request(method, path, content, typed | {n.replace("_", "-"): v for n, v in headers.items()})
            answer = connection.getresponse()
            assert answer.getheader("x-alikassa-sandbox") == "1"
            return answer.status, answer.read()
        finally:
            connection.close()

    def done(self, method: str, path: str, body: object = None) -> Any:
        status, said = self.control(method, path, body)
        assert status == 200, said
        return json.loads(said)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    said = folder / "said"
    with said.open("w") as stdout, (folder / "messages").open("w") as stderr:
        process = subprocess.Popen(
            [ALIKASSA, "sandbox", *FREE, *options],
            stdout=stdout,
            stderr=stderr,
            text=True,
            env=nobodys_environment() | {"TMPDIR": str(folder)},
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # as nohup does
        )
    try:
        until = time.monotonic() + 20
        while "Ctrl-C" not in (folder / "messages").read_text():
            assert process.poll() is None, (folder / "messages").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        lines = said.read_text().splitlines()
        yield Running(process, dict(line.split("=", 1) for line in lines))
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With the page's account. Tests that share it leave that account as it is."""
    with running(tmp_path_factory.mktemp("sandbox"), "--seed", "page") as started:
        yield started


def test_its_settings_are_what_a_balance_needs(page: Running) -> None:
    """With what it prints in the environment, `alikassa balance` shows the page's answer."""
    done = run_cli("balance", "--output", "json", env=page.settings)
    assert (done.returncode, done.stderr) == (0, "")
    client = Client(PAGE_ACCOUNT, page.settings["ALIKASSA_KEYS"], base_url=page.settings["ALIKASSA_BASE_URL"])
    with client:
        assert client.balance().raw == PAGE_ANSWER


@pytest.mark.parametrize("language", ["php", "node", "java", "go"])
def test_other_languages(page: Running, language: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another language's example shows the page's numbers, and tells a fault that the control API sets."""
    command = command_of(language, tmp_path_factory.getbasetemp())

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=environment(**page.settings), capture_output=True, text=True, timeout=60, check=False
        )

    shown = ask()
    assert (shown.returncode, shown.stdout) == (0, FIVE_LINES)
    fault = {"fault": {"kind": "refused", "field": "account", "text": "Closed."}, "account": PAGE_ACCOUNT, "times": 1}
    page.done("POST", "/faults", fault)
    refused = ask()
    assert refused.returncode == REFUSED
    assert "account: Closed." in refused.stderr


def test_a_story_over_http(page: Running) -> None:
    """Made, paid, held, wound forward and paid out by HTTP alone, an account has the numbers of the rules."""
    made = page.done("POST", "/accounts", {"currency": "USD"})
    at = f"/accounts/{made['account']}"
    page.done("POST", f"{at}/policy", {"hold_percent": "20", "hold_days": 2})
    payment = page.done("POST", f"{at}/payments", {"amount": "100"})["reference"]
    page.done("POST", f"{at}/refunds", {"payment": payment, "amount": "10"})
    page.done("POST", f"{at}/payouts", {"amount": "30", "reference": "first"})
    assert page.done("GET", f"{at}/balance") == {
        "currency": "USD",
        "balance": "50.00000000",
        "hold": "10.00000000",
        "rolling_reserve": "0.00000000",
        "pending_payouts": "30.00000000",
    }
    page.done("POST", "/clock", {"days": 2})
    page.done("POST", f"{at}/payouts/first/cancel")
    with Client(made["account"], made["keys"], base_url=made["base_url"]) as client:
        found = client.balance()
    assert str(found) == "90.00000000 USD, hold 0.00000000, rolling reserve 0.00000000, pending payouts 0.00000000"


def test_two_accounts_of_one_merchant(page: Running) -> None:
    """A merchant that was made first gets an account, and keys are the merchant's."""
    merchant = page.done("POST", "/merchants", {"name": "Shop"})
    account = page.done("POST", "/accounts", {"merchant": merchant["merchant"]})
    assert account["keys"] == merchant["keys"]
    assert account["account"] in [one["account"] for one in page.done("GET", "/accounts")]


def test_the_archive_is_there_as_a_zip(page: Running, tmp_path: Path) -> None:
    """Unpacked, it is an archive that asks for the balance."""
    status, content = page.control("GET", f"/accounts/{PAGE_ACCOUNT}/archive")
    assert status == 200
    zipfile.ZipFile(io.BytesIO(content)).extractall(tmp_path)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    with Client(PAGE_ACCOUNT, tmp_path, base_url=page.settings["ALIKASSA_BASE_URL"]) as client:
        assert client.balance().raw == PAGE_ANSWER


def test_requests_are_listed_without_sign(page: Running) -> None:
    """What was asked is listed, its body in base64; `Sign` is not there."""
    page.done("DELETE", "/requests")
    with Client(PAGE_ACCOUNT, page.settings["ALIKASSA_KEYS"], base_url=page.settings["ALIKASSA_BASE_URL"]) as client:
        client.balance()
    (asked,) = page.done("GET", "/requests")
    assert asked == {
        "method": "POST",
        "path": "/v1/account/balance",
        "account": PAGE_ACCOUNT,
        "digest": "sha256",
        "body": "e30=",
        "status": 200,
        "fault": "",
    }


def test_faults_are_listed_and_cleared(page: Running) -> None:
    """A fault for an account that nobody asks for stays listed until it is cleared."""
    nobody = "00000000-0000-4000-8000-000000000000"
    page.done("POST", "/faults", {"fault": {"kind": "silent", "seconds": 1}, "account": nobody})
    listed = {"fault": {"kind": "silent", "seconds": 1.0}, "left": None, "account": nobody}
    assert listed in page.done("GET", "/faults")
    page.done("DELETE", "/faults")
    assert page.done("GET", "/faults") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", f"/accounts/{PAGE_ACCOUNT}/payments", {"amount": 1.5}, 400, "amount"),
        ("POST", f"/accounts/{PAGE_ACCOUNT}/payments", {"amount": "1e3"}, 400, "not an amount"),
        ("POST", f"/accounts/{PAGE_ACCOUNT}/payments", {"amount": "1", "currency": "RUB"}, 400, "currency"),
        ("POST", f"/accounts/{PAGE_ACCOUNT}/payouts", {"amount": "1000000"}, 409, "was asked for"),
        ("POST", f"/accounts/{PAGE_ACCOUNT}/payouts/none/paid", None, 404, "none"),
        ("GET", "/accounts/none/balance", None, 404, "no account"),
        ("POST", "/accounts", {"id": PAGE_ACCOUNT}, 409, "open already"),
        ("POST", "/faults", {"fault": {"kind": "rude"}}, 400, "rude"),
        ("POST", "/clock", {"days": -1}, 400, "days"),
        ("GET", "/nowhere", None, 404, "GET /"),
        ("PUT", "/clock", None, 405, "GET, POST"),
        ("POST", "/accounts", "x" * 20_000, 413, "too large"),
    ],
)
def test_what_cannot_be_is_told(page: Running, method: str, path: str, body: object, status: int, says: str) -> None:
    """A mistake is answered with its status and in words, in the shape of every refusal."""
    found, said = page.control(method, path, body)
    assert found == status, said
    assert list(json.loads(said)) == ["message", "errors"]
    assert says in said.decode()


def test_a_page_in_a_browser_cannot_use_it(page: Running) -> None:
    """Neither another host's name nor a form's content type is taken."""
    assert page.control("GET", "/accounts", Host="evil.example:80")[0] == 421
    assert page.control("POST", "/accounts", {}, Content_Type="text/plain")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_a_page_cannot_use_it_without_a_body(page: Running, headers: dict[str, str]) -> None:
    """A POST without a body, which a browser sends without asking first, is refused by what browsers add to it."""
    before = page.done("GET", "/accounts")
    for path in ("/reset", "/merchants", "/accounts"):
        status, said = page.control("POST", path, None, **headers)
        assert (status, list(json.loads(said))) == (403, ["message", "errors"])
    assert page.done("GET", "/accounts") == before
    assert page.control("GET", "/", None, Sec_Fetch_Site="none")[0] == 200  # typed by a person


@pytest.mark.parametrize("path", ["/accounts", "/merchants"])
def test_a_sandbox_that_has_ended_is_no_conflict(path: str) -> None:
    """What cannot be done because the sandbox is ending is told as that, and not as something that is booked."""
    control = Control(Sandbox())
    request = Request("POST", path, Headers([(b"host", b"localhost")]))
    answer = control.decide(request, b"")
    assert answer.status == 503
    assert b"not running" in answer.body


def test_a_program_in_node_can_use_it(page: Running) -> None:
    """Node's fetch, which is made after a browser's, is a program's all the same."""
    require("node", "nodejs")
    script = "fetch(process.argv[1], {method: 'POST'}).then(async (r) => console.log(r.status, await r.text()))"
    url = f"{page.settings['ALIKASSA_CONTROL_URL']}/merchants"
    done = subprocess.run(["node", "-e", script, url], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith('200 {"merchant":')


def test_it_describes_itself(page: Running) -> None:
    """`GET /` lists every route, and the schema of each body and fault that it names."""
    told = page.done("GET", "/")
    assert {"POST /faults", "POST /reset", "GET /requests"} <= {f"{r['method']} {r['path']}" for r in told["routes"]}
    named = {route["body"]["$ref"].rpartition("/")[2] for route in told["routes"] if route["body"]}
    assert named | {"Drifting", "Silent"} <= set(told["schemas"])


def test_a_reset_over_http_takes_everything_away() -> None:
    """After POST /reset there are no accounts and no faults, and a new account can be made."""
    with Sandbox() as sandbox:
        port = sandbox.run(sandbox.serve_beside(Control(sandbox).answer, 0))
        here = Running(None, {"ALIKASSA_CONTROL_URL": f"http://127.0.0.1:{port}"})
        here.done("POST", "/accounts", {"id": PAGE_ACCOUNT})
        here.done("POST", "/faults", {"fault": {"kind": "reset"}})
        assert here.done("POST", "/reset") == {"done": True}
        assert (here.done("GET", "/accounts"), here.done("GET", "/faults")) == ([], [])
        assert here.done("POST", "/accounts", {"id": PAGE_ACCOUNT})["account"] == PAGE_ACCOUNT


@pytest.mark.by_the_clock
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C ends it in a moment, with success, though a client is connected; its folder is gone."""
    with running(tmp_path, "--seed", "page", "--tls") as started:
        settings = started.settings
        done = run_cli("balance", "--output", "json", env=settings)
        assert (done.returncode, json.loads(done.stdout)["balance"]) == (0, "93.84000000")
        assert os.listdir(settings["ALIKASSA_KEYS"])
        kept = HTTPConnection(urlsplit(settings["ALIKASSA_CONTROL_URL"]).netloc)
        kept.request("GET", "/clock")
        begun = time.monotonic()
        assert started.process is not None
        started.process.send_signal(number)
        assert started.process.wait(timeout=10) == 0
        assert time.monotonic() - begun < 5  # an idle connection is kept for ten
        kept.close()
    assert list(tmp_path.glob("alikassa-sandbox-*")) == []


def test_it_outlives_its_terminal_under_nohup(page: Running) -> None:
    """Started with SIGHUP ignored, it goes on when its terminal is closed."""
    assert page.process is not None
    page.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        page.process.wait(timeout=0.2)
    page.done("GET", "/clock")


def test_a_taken_port_is_told(page: Running) -> None:
    """A port that is taken is a matter of configuration, and the message names it."""
    taken = urlsplit(page.settings["ALIKASSA_BASE_URL"]).port
    done = run_cli("sandbox", "--port", str(taken), "--control-port", "0")
    assert (done.returncode, done.stdout) == (3, "")
    assert str(taken) in done.stderr


def test_help_loads_neither_server_nor_database() -> None:
    """The command costs nothing where it is only listed."""
    code = (
        "import sys; from alikassa.cli import main; sys.argv = ['alikassa', 'sandbox', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'sqlalchemy', 'granian', 'h11'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"
