"""Try it: what the page shows is run as it stands, with a key that was downloaded from the cabinet."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from litestar.testing import TestClient

from alikassa.cabinet.application import application
from alikassa.cabinet.programs import PROGRAMS
from alikassa.errors import ConfigurationError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.ledger.registry import Registry
from alikassa.money import to_units
from alikassa.server.serve import public_url_of
from alikassa.server.settings import Settings
from cabinet_server import PASSWORD, Cabinet, Visitor, cabinet_served, preformatted, text_of
from conftest import PAGE_ACCOUNT, PAGE_ANSWER
from operator_server import wait_until
from test_examples import EXAMPLES, FIVE_LINES, environment, prepare_node, prepare_php, require

ROOT = Path(__file__).parents[1]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


@dataclass(frozen=True)
class Tried:
    """The page's account at the page's numbers, its owner, and a folder with the archive that they downloaded."""

    cabinet: Cabinet
    owner: Visitor
    folder: Path

    def page(self, program: str) -> str:
        return self.owner.get(f"/cabinet/accounts/{PAGE_ACCOUNT}/try?with={program}").text


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    folder = tmp_path_factory.mktemp("try")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as cabinet:
        asyncio.run(open_account(cabinet))
        owner = cabinet.visitor("owner")
        without = text_of(owner.get(f"/cabinet/accounts/{PAGE_ACCOUNT}/try").text)
        assert "There is no active payout certificate" in without
        answer = owner.post("/cabinet/keys/make", {"purpose": "payout"})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
            packed.extractall(folder)
        for name in ("private.pem", "password.txt"):
            (folder / "payout" / name).chmod(0o600)
        yield Tried(cabinet, owner, folder)


async def open_account(cabinet: Cabinet) -> None:
    async with await Database.open(cabinet.database) as database:
        account = await Registry(database).open_account(cabinet.merchant, "RUB", uuid.UUID(PAGE_ACCOUNT))
        books = Books(database)
        for bucket, amount in ((Bucket.BALANCE, "93.84"), (Bucket.PENDING_PAYOUTS, "1234")):
            await books.book(Adjustment(account.id, bucket, to_units(amount), f"first-{bucket}", "the page's numbers"))


def run(tried: Tried, command: str | list[str]) -> subprocess.CompletedProcess[str]:
    """In the folder with the archive, where `python3` and `alikassa` are those of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", command] if isinstance(command, str) else command,
        cwd=tried.folder,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_curl_and_openssl_as_shown_get_the_answer_as_shown(tried: Tried) -> None:
    """To the byte the page's own example, which is what the account was given."""
    require("curl", "curl")
    require("openssl", "openssl")
    page = tried.page("curl")
    done = run(tried, preformatted(page, "run"))
    assert (done.returncode, done.stdout.encode(), done.stderr) == (0, PAGE_ANSWER, "")
    assert preformatted(page, "answer").encode() == PAGE_ANSWER


def test_a_request_shows_as_a_use_of_its_certificate(tried: Tried) -> None:
    """The page of the keys says with which digest it was last used."""
    assert run(tried, preformatted(tried.page("curl"), "run")).returncode == 0
    keys = "/cabinet/keys"
    wait_until(lambda: re.search(r"Last used \d+ \w+ \d{4}, \d\d:\d\d SHA-256", text_of(tried.owner.get(keys).text)))


def test_our_client_as_shown_gets_the_balance(tried: Tried) -> None:
    """Saved as a file and run."""
    program = tried.folder / "ask.py"
    program.write_text(preformatted(tried.page("client"), "run"))
    done = run(tried, [sys.executable, str(program)])
    assert (done.returncode, done.stderr) == (0, "")
    assert "93.84000000 RUB" in done.stdout
    assert "1234.00000000" in done.stdout


def test_the_command_line_as_shown_gets_the_balance(tried: Tried) -> None:
    """It needs no profile."""
    done = run(tried, preformatted(tried.page("cli"), "run"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "93.84000000" in done.stdout


@pytest.mark.parametrize("name", ["node", "php", "python"])
def test_a_program_as_shown_prints_the_balance(name: str, tried: Tried, tmp_path: Path) -> None:
    """Saved under the name that the page says, and started by the commands that it shows."""
    if name != "python":
        {"node": prepare_node, "php": prepare_php}[name](tmp_path)
    page = tried.page(name)
    (program,) = [one for one in PROGRAMS if one.name == name]
    assert f"Save the program as {program.save_as}" in page
    (tried.folder / program.save_as).write_text(preformatted(page, "program"))
    done = run(tried, preformatted(page, "run"))
    assert (done.returncode, done.stdout, done.stderr) == (0, FIVE_LINES, "")


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.file], ids=lambda one: one.name)
def test_what_is_downloaded_is_our_example(program: Any, tried: Tried) -> None:
    """The file of `examples/`, byte for byte, and the same text on the page."""
    original = (EXAMPLES / program.file).read_bytes()
    answer = tried.owner.get(f"/cabinet/programs/{program.save_as}")
    assert answer.content == original
    assert answer.headers["content-disposition"] == f'attachment; filename="{program.save_as}"'
    assert preformatted(tried.page(program.name), "program").encode() == original


def test_the_wheel_has_the_programs(tmp_path: Path) -> None:
    """Where the page looks for them, each as it is in `examples/`."""
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path)))
    with zipfile.ZipFile(wheel) as packed:
        for program in PROGRAMS:
            if program.file:
                packaged = packed.read(f"alikassa/cabinet/examples/{program.file}")
                assert packaged == (EXAMPLES / program.file).read_bytes()


def test_another_merchants_account_is_not_there(tried: Tried) -> None:
    """The page of an account is for its merchant and operators, and an unknown program is the first."""
    path = f"/cabinet/accounts/{PAGE_ACCOUNT}/try"
    assert tried.cabinet.visitor("stranger").get(path).status_code == 404
    assert tried.cabinet.visitor("operator").get(f"{path}?with=cobol").status_code == 200
    assert tried.cabinet.visitor().get(path).status_code == 303
    assert tried.owner.get("/cabinet/programs/go.mod").status_code == 404


def test_the_public_url_is_what_the_page_shows(tried: Tried) -> None:
    """Plain HTTP to another machine comes with a warning; to this one, without."""
    page = page_with(Settings(tried.cabinet.database, public_url="http://api.example.com/pay"))
    assert "'http://api.example.com/pay/v1/account/balance'" in preformatted(page, "run")
    assert "address is without TLS" in text_of(page)
    assert "address is without TLS" not in text_of(tried.page("curl"))


def page_with(settings: Settings) -> str:
    """The page as this process shows it."""
    with TestClient(application(settings), base_url="https://cabinet.example.com") as client:
        form = client.get("/cabinet/login").text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        assert token is not None
        client.post("/cabinet/login", data={"csrf": token[1], "login": "owner", "password": PASSWORD})
        return client.get(f"/cabinet/accounts/{PAGE_ACCOUNT}/try").text


@pytest.mark.parametrize(
    ("given", "address", "found"),
    [
        ("", "127.0.0.1", "http://127.0.0.1:8080"),
        ("", "::1", "http://[::1]:8080"),
        ("", EVERYWHERE, "http://localhost:8080"),
        ("", "::", "http://localhost:8080"),
        ("https://api.example.com/", EVERYWHERE, "https://api.example.com"),
        ("https://[2001:db8::1]:8443/pay", EVERYWHERE, "https://[2001:db8::1]:8443/pay"),
    ],
)
def test_the_public_url_is_the_operators_or_where_the_server_listens(given: str, address: str, found: str) -> None:
    """Without a stroke at its end; never an address that nobody can ask."""
    assert public_url_of(Settings("sqlite:///x", public_url=given), address, 8080) == found


@pytest.mark.parametrize(
    "url", ["api.example.com", "https://x'; rm -rf ~", "ftp://x", "https://x/$(id)", "https://x?a"]
)
def test_a_public_url_that_a_shell_would_read_is_refused(url: str) -> None:
    """It stands in commands that people copy."""
    with pytest.raises(ConfigurationError, match="public URL"):
        public_url_of(Settings("sqlite:///x", public_url=url), "127.0.0.1", 8080)
