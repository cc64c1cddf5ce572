"""Asking for the balance on the command line: output, settings, exit codes, and where each thing is said."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from command_line import CONFIGURATION, NETWORK, REFUSED, SERVER, USAGE, call, complaint
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Server, free_port, run_cli, start_server
from raw_http import shop_server, sign

FIVE = {
    "currency": "RUB",
    "balance": "93.84000000",
    "hold": "0.00000000",
    "rolling_reserve": "0.00000000",
    "pending_payouts": "1234.00000000",
}
UNKNOWN = "ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture(scope="module")
def server(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shop_server(tmp_path_factory.mktemp("server"), archives) as running:
        yield running


@pytest.fixture(scope="module")
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture
def asked(server: Server, keys: Path) -> tuple[str, ...]:
    """The call that gets the balance."""
    return ("balance", "--account", PAGE_ACCOUNT, "--keys", str(keys), "--base-url", server.url)


@contextmanager
def scripted(*statuses: int) -> Iterator[str]:
    """A server that answers with these statuses in turn, the last one for ever. Its URL."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0) if len(left) > 1 else left[0]
            body = PAGE_ANSWER if status == 200 else b'{"message":"Down for repairs.","errors":{}}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# Output


def test_json_is_the_five_fields_in_order(asked: tuple[str, ...]) -> None:
    """--output json prints one object: the five fields in the page's order, amounts as strings, and nothing else."""
    done = run_cli(*asked, "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(done.stdout).items()) == list(FIVE.items())


def test_csv_is_a_line_of_names_and_a_line_of_values(asked: tuple[str, ...]) -> None:
    """--output csv prints names and values for a spreadsheet."""
    done = call(*asked, "--output", "csv")
    assert list(csv.reader(io.StringIO(done.stdout))) == [list(FIVE), list(FIVE.values())]


def test_table_is_the_default_and_shows_all_five(asked: tuple[str, ...]) -> None:
    """Without --output people get a table with each field's name and value."""
    words = call(*asked).stdout.split()
    assert [word for word in (*FIVE, *FIVE.values()) if word not in words] == []


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_nothing_is_said_when_all_is_well(asked: tuple[str, ...], form: str) -> None:
    """A call that succeeds says nothing on stderr."""
    assert call(*asked, "--output", form).stderr == ""


def test_table_fits_a_narrow_terminal(asked: tuple[str, ...]) -> None:
    """No digit of an amount is lost when the terminal is narrow."""
    shown = call(*asked, env={"COLUMNS": "40"}).stdout
    assert "1234.00000000" in "".join(shown.split())


# Settings


def test_environment_gives_the_defaults(server: Server, keys: Path) -> None:
    """Account, keys, base URL and digest may all come from the environment."""
    settings = {
        "ALIKASSA_ACCOUNT": PAGE_ACCOUNT,
        "ALIKASSA_KEYS": str(keys),
        "ALIKASSA_BASE_URL": server.url,
        "ALIKASSA_DIGEST": "sha1",
    }
    done = run_cli("balance", "--output", "json", env=settings)
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, FIVE), done.stderr


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ALIKASSA_ACCOUNT", UNKNOWN),
        ("ALIKASSA_KEYS", "/nowhere"),
        ("ALIKASSA_BASE_URL", "nonsense"),
        ("ALIKASSA_DIGEST", "md5"),
    ],
)
def test_option_wins_over_the_environment(asked: tuple[str, ...], name: str, wrong: str) -> None:
    """A setting in the environment is not looked at when its option is given."""
    done = call(*asked, "--digest", "sha256", "--output", "json", env={name: wrong})
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, FIVE), done.stderr


@pytest.mark.parametrize(
    ("name", "wrong", "code"),
    [
        ("ALIKASSA_ACCOUNT", UNKNOWN, REFUSED),
        ("ALIKASSA_KEYS", "/nowhere", CONFIGURATION),
        ("ALIKASSA_BASE_URL", "nonsense", CONFIGURATION),
        ("ALIKASSA_DIGEST", "md5", USAGE),
    ],
)
def test_environment_is_used(server: Server, keys: Path, name: str, wrong: str, code: int) -> None:
    """Each setting of the environment counts when its option is not given: a wrong one shows."""
    settings = {"ALIKASSA_ACCOUNT": PAGE_ACCOUNT, "ALIKASSA_KEYS": str(keys), "ALIKASSA_BASE_URL": server.url}
    complaint(code, "balance", env=settings | {name: wrong})


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_both_digests_are_accepted(asked: tuple[str, ...], digest: str) -> None:
    """The server takes what the client signs with either digest."""
    assert call(*asked, "--digest", digest).returncode == 0


# Exit codes

USAGE_ERRORS = [
    ("unknown command", ["nonsense"], "nonsense"),
    ("unknown command of a group", ["account", "nonsense"], "nonsense"),
    ("unknown option", ["balance", "--nonsense"], "--nonsense"),
    ("missing option", ["balance"], "--account"),
    ("missing argument", ["keygen"], "DIR"),
    ("superfluous argument", ["demo", "nonsense"], "nonsense"),
    ("unknown output", ["balance", "--account", UNKNOWN, "--keys", ".", "--output", "xml"], "csv"),
    ("unknown digest", ["balance", "--account", UNKNOWN, "--keys", ".", "--digest", "md5"], "sha256"),
    ("unknown bucket", ["account", "adjust", UNKNOWN, "--bucket", "purse"], "rolling_reserve"),
    ("unknown errors", ["serve", "--database", "sqlite:///x.db", "--errors", "loud"], "explain"),
    ("port out of range", ["serve", "--database", "sqlite:///x.db", "--port", "65536"], "65535"),
    ("port that is no number", ["serve", "--database", "sqlite:///x.db", "--port", "http"], "--port"),
    ("no database", ["account", "list"], "ALIKASSA_DATABASE"),
]


@pytest.mark.parametrize(("arguments", "said"), [pytest.param(*row[1:], id=row[0]) for row in USAGE_ERRORS])
def test_wrong_usage_is_2(arguments: list[str], said: str) -> None:
    """A call that is not understood exits with 2 and names what is wrong or what would be right."""
    assert said in complaint(USAGE, *arguments)


def test_refusal_is_4_and_said_in_the_servers_words(asked: tuple[str, ...]) -> None:
    """A refused request exits with 4, prints no data, and shows message, field and reason of the answer."""
    done = run_cli(*asked, "--account", UNKNOWN, "--output", "json")
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert all(words in done.stderr for words in ("The given data was invalid.", "sign", "payout certificate"))


def test_nothing_listening_is_5(asked: tuple[str, ...]) -> None:
    """A server that cannot be reached exits with 5, and the message says where and why."""
    said = complaint(NETWORK, *asked, "--base-url", f"http://127.0.0.1:{free_port()}", "--timeout", "0.5")
    assert "127.0.0.1" in said
    assert "refused" in said


def test_unknown_host_is_5(asked: tuple[str, ...]) -> None:
    """A host name that does not exist exits with 5, and is named."""
    said = complaint(NETWORK, *asked, "--base-url", "https://nowhere.invalid", "--timeout", "0.5")
    assert "nowhere.invalid" in said


def test_untrusted_certificate_is_5(asked: tuple[str, ...], tmp_path: Path, server: Server) -> None:
    """A TLS certificate that nobody vouches for ends the call, and is what the message speaks of."""
    database = f"sqlite:///{server.log_file.parent / 'books.db'}"
    secure = start_server(tmp_path, database, tls=True)
    try:
        said = complaint(NETWORK, *asked, "--base-url", secure.url)
        trusted = call(*asked, "--base-url", secure.url, "--ca-bundle", str(secure.ca))
    finally:
        secure.stop()
    assert "certificate" in said
    assert trusted.returncode == 0


def test_server_error_is_6(asked: tuple[str, ...]) -> None:
    """A server that fails, and goes on failing, exits with 6, and the message gives its status."""
    with scripted(500) as url:
        assert "500" in complaint(SERVER, *asked, "--base-url", url)


def test_answer_of_another_address_is_6(asked: tuple[str, ...], server: Server) -> None:
    """A base URL that leads to something else is not taken for a refusal of the request."""
    assert "404" in complaint(SERVER, *asked, "--base-url", f"{server.url}/elsewhere")


def test_retried_call_prints_data_only(asked: tuple[str, ...]) -> None:
    """When a busy server answers at the second attempt, stdout holds the JSON and nothing else."""
    with scripted(503, 200) as url:
        done = run_cli(*asked, "--base-url", url, "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == FIVE


def test_failed_attempts_print_nothing_on_stdout(asked: tuple[str, ...]) -> None:
    """A call that gives up has printed nothing on stdout, whatever it tried before."""
    done = run_cli(*asked, "--base-url", f"http://127.0.0.1:{free_port()}", "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (NETWORK, "")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--keys", "/nowhere", "/nowhere"),
        ("--base-url", "nonsense", "URL"),
        ("--base-url", "http://example.com", "https"),
        ("--ca-bundle", "/nowhere.pem", "/nowhere.pem"),
        ("--account", "nonsense", "nonsense"),
        ("--body", '{"a":1}', "{}"),
        ("--timeout", "0", "0"),
    ],
)
def test_setting_that_cannot_work_is_refused_before_asking(
    asked: tuple[str, ...], option: str, value: str, said: str
) -> None:
    """A setting that cannot work is a mistake of usage or configuration, and the message says which."""
    done = call(*asked, option, value)
    assert done.returncode in (USAGE, CONFIGURATION), done
    assert done.stdout == ""
    assert said in done.stderr


# Keys


def test_world_readable_key_is_warned_of(asked: tuple[str, ...], keys: Path, tmp_path: Path) -> None:
    """A private key that others can read still works, and the warning on stderr says how to close it."""
    shutil.copytree(keys, tmp_path / "open")
    (tmp_path / "open" / "private.pem").chmod(0o644)
    done = run_cli(*asked, "--keys", tmp_path / "open", "--output", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, FIVE)
    assert "chmod 600" in done.stderr


def test_wrong_passphrase_is_3(asked: tuple[str, ...], keys: Path, tmp_path: Path) -> None:
    """A passphrase that does not open the key exits with 3, and is not shown."""
    shutil.copytree(keys, tmp_path / "keys")
    (tmp_path / "keys" / "password.txt").write_text("open sesame")
    said = complaint(CONFIGURATION, *asked, "--keys", tmp_path / "keys")
    assert "passphrase" in said
    assert "open sesame" not in said


@pytest.mark.parametrize("name", ["private.pem", "password.txt"])
def test_incomplete_archive_is_3(asked: tuple[str, ...], keys: Path, tmp_path: Path, name: str) -> None:
    """An archive that lacks a file exits with 3, and the file is named."""
    shutil.copytree(keys, tmp_path / "keys")
    (tmp_path / "keys" / name).unlink()
    assert name in complaint(CONFIGURATION, *asked, "--keys", tmp_path / "keys")


def test_passphrase_with_a_newline_works(asked: tuple[str, ...], keys: Path, tmp_path: Path) -> None:
    """A password.txt that an editor ended with a newline opens the key all the same."""
    shutil.copytree(keys, tmp_path / "keys")
    with (tmp_path / "keys" / "password.txt").open("a") as file:
        file.write("\n")
    assert call(*asked, "--keys", tmp_path / "keys").returncode == 0


def test_signature_is_never_printed(asked: tuple[str, ...], keys: Path) -> None:
    """Neither a refusal nor a failed connection shows the Sign header, with which anyone could ask again."""
    failures = (
        ("--account", UNKNOWN),
        ("--base-url", f"http://127.0.0.1:{free_port()}", "--timeout", "0.5"),
    )
    texts = [text for options in failures for done in [call(*asked, *options)] for text in (done.stdout, done.stderr)]
    assert any(texts)
    assert not any(sign(keys, b"{}")[:40] in text for text in texts)
