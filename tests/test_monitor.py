"""Looks, history, alerts over HTTP and metrics, against a real server and a real receiver."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path

import pytest

from alikassa.monitor.exposition import Latest
from alikassa.monitor.history import History
from alikassa.monitor.snapshots import Failure, FailureKind, Figures, Snapshot
from command_line import CONFIGURATION, NETWORK, USAGE
from conftest import ALIKASSA, Server, Shop, free_port, nobodys_environment, openssl_sign
from https_server import https_server, says
from monitored import Watched, watched
from wire_server import WireServer, ok, respond, wire_server

ROOT = Path(__file__).parents[1]


@pytest.fixture
def shop(sqlite_shop: Shop, tmp_path: Path, serve: Callable[..., Server]) -> Watched:
    """The page's account behind `alikassa serve`."""
    return watched(sqlite_shop, tmp_path, serve(sqlite_shop.database).url)


def rules_file(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


def bodies(receiver: WireServer) -> list[dict[str, str]]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def test_an_alert_is_told_once_and_its_end_once(shop: Watched) -> None:
    """Each look is a process's own, as after a restart; money moves in between. The receiver gets two posts, each
    under the HMAC that the secret makes."""
    with wire_server(respond(200, b"")) as receiver:
        rules = rules_file(
            shop.folder,
            f'[webhook]\nurl = "{receiver.url}/hook"\nsecret_env = "HOOK"\n'
            '[[rule]]\nname = "low"\nwhen = "below"\namount = "100"\nmargin = "10"\n',
        )

        def look() -> None:
            done = shop.run("watch", "--once", "--ndjson", "--rules", rules, env={"HOOK": "key"})
            assert done.returncode == 0, done.stderr

        look()
        look()
        shop.pay("10", "within-the-margin")
        look()
        shop.pay("10", "beyond-it")
        look()
        look()
        told = bodies(receiver)
        assert [(one["rule"], one["kind"], one["profile"]) for one in told] == [
            ("low", "fired", "shop"),
            ("low", "over", "shop"),
        ]
        assert "93.84000000 RUB" in told[0]["text"]
        assert "113.84000000 RUB" in told[1]["text"]
        head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
        stamp = re.search(rb"X-Alikassa-Timestamp: (\d+)", head)
        assert stamp is not None
        expected = hmac.new(b"key", stamp[1] + b"." + body, hashlib.sha256).hexdigest()
        assert f"X-Alikassa-Signature: sha256={expected}".encode() in head


def test_an_alert_that_could_not_be_told_is_told_later(shop: Watched) -> None:
    """A receiver that fails is tried again, also by the next process; what is missing is said, not where to."""
    with wire_server(*[respond(503, b"")] * 3, respond(200, b"")) as receiver:
        rules = rules_file(
            shop.folder,
            f'[webhook]\nurl = "{receiver.url}/hidden-path"\n[[rule]]\nname = "low"\nwhen = "below"\namount = "100"\n',
        )
        first = shop.run("watch", "--once", "--rules", rules)
        assert "not told yet: the webhook answered 503" in first.stderr
        assert "hidden-path" not in first.stderr + first.stdout
        for _ in range(2):
            assert "not told" not in shop.run("watch", "--once", "--rules", rules).stderr
        assert len({one["id"] for one in bodies(receiver)}) == 1
        assert len(receiver.requests) == 4


def test_a_webhook_is_told_only_over_tls_that_is_trusted(shop: Watched, tmp_path: Path) -> None:
    """A receiver whose certificate nobody vouches for is told nothing; with its CA named it gets what waited."""
    with https_server(tmp_path, free_port()) as receiver:
        receiver.will(says(200))
        rule = '[[rule]]\nname = "low"\nwhen = "below"\namount = "100"\n'
        rules = rules_file(shop.folder, f'[webhook]\nurl = "{receiver.url}/hook"\n{rule}')
        assert "not told yet" in shop.run("watch", "--once", "--ndjson", "--rules", rules).stderr
        assert receiver.asked == []
        rules_file(shop.folder, f'[webhook]\nurl = "{receiver.url}/hook"\nca_bundle = "{receiver.ca}"\n{rule}')
        assert "not told" not in shop.run("watch", "--once", "--ndjson", "--rules", rules).stderr
        (asked,) = receiver.asked
        assert json.loads(asked.body)["rule"] == "low"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[rule]]\nname = "a"\nwhen = "below"\namount = 1.5\n', "amount"),
        ('[[rule]]\nname = "a"\nwhen = "below"\namount = "1e5"\n', "is no amount"),
        ('[[rule]]\nname = "a"\nwhen = "sideways"\n', "when"),
        ('[[rule]]\nname = "a"\nwhen = "no_answer"\nfor = "soon"\n', "no span of time"),
        ('[webhook]\nurl = "http://example.org/hidden"\n', "https"),
        ('[[rule]]\nname = "a"\nwhen = "below"\namount = "1"\nprofiles = ["shpo"]\n', "no such profile"),
        ('[[rule]]\nname = "a"\nwhen = "no_answer"\nfor = "31d"\n', "longer --keep"),
        ('[webhook]\nurl = "https://example.org/hidden\u0439"\n', "characters"),
        ('notify = ["nonsense-hidden"]\n', "Address 1 of notify"),
        ('[webhook]\nurl = "https://example.org/hidden"\nsecret_env = "UNSET_HERE"\n', "UNSET_HERE"),
    ],
)
def test_rules_that_are_not_understood(sqlite_shop: Shop, tmp_path: Path, text: str, words: str) -> None:
    """Each is told before anything is asked, with what is wrong and without an address."""
    shop = watched(sqlite_shop, tmp_path, "http://127.0.0.1:9")
    done = shop.run("watch", "--once", "--keep", "30d", "--rules", rules_file(shop.folder, text))
    assert done.returncode == CONFIGURATION
    assert words in done.stderr
    assert "hidden" not in done.stderr


def test_history_prints_exactly_what_was_told(shop: Watched) -> None:
    """Table, JSON and CSV have the amounts' own digits, and failures too; the raw answer is in the file."""
    odd = b'{"currency":"RUB","balance":93.840,"hold":"0.1","rolling_reserve":"0","more":1}'
    with wire_server(ok(odd), respond(400, b'{"message":"no","errors":{}}')) as other:
        mine = watched(shop.shop, shop.folder, other.url)
        mine.run("watch", "--once")
        mine.run("watch", "--once")
    found = json.loads(mine.run("history", "--output", "json").stdout)
    assert [one["balance"] for one in found] == ["93.840", None]
    assert (found[0]["pending_payouts"], found[1]["failure"]) == (None, "refused")
    rows = list(csv.DictReader(io.StringIO(mine.run("history", "shop", "--output", "csv").stdout)))
    assert [row["hold"] for row in rows] == ["0.1", ""]
    assert "93.840" in mine.run("history").stdout
    with sqlite3.connect(mine.history) as file:
        assert file.execute("SELECT raw FROM snapshots").fetchall() == [(odd,), (None,)]
    file.close()
    assert json.loads(mine.run("history", "--until", "1h", "--output", "json").stdout) == []


def test_history_is_its_owners_and_bounded(shop: Watched) -> None:
    """The file and what SQLite lays beside it are 0600; what is older than --keep is gone at the next look."""
    shop.run("watch", "--once")
    assert stat.S_IMODE(shop.history.stat().st_mode) == 0o600
    time.sleep(1.1)
    shop.run("watch", "--once", "--keep", "1s")
    assert len(json.loads(shop.run("history", "--output", "json").stdout)) == 1


def test_another_file_is_left_alone(shop: Watched) -> None:
    """A database that is no history is refused, not written to."""
    other = shop.folder / "other.db"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    done = shop.run("watch", "--once", "--history", other)
    assert done.returncode == CONFIGURATION
    assert "is no history" in done.stderr
    assert shop.run("history", "--history", shop.folder / "none.db").returncode == CONFIGURATION


def test_history_survives_a_kill(shop: Watched) -> None:
    """Every line that `watch --ndjson` printed before it was killed is in the history."""
    with subprocess.Popen(
        [ALIKASSA, "watch", "--ndjson", "--every", "1s"], env=nobodys_environment() | shop.env, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        printed = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    kept = json.loads(shop.run("history", "--output", "json").stdout)
    assert kept[:2] == printed


def keep_looks(mine: Watched) -> None:
    """A look a minute since 2026 began: 20 in RUB, 2 in EUR, and a refusal with words that a spreadsheet would run."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with History(mine.history) as history, history.transaction():
        for minute in range(22):
            figures = Figures("RUB" if minute < 20 else "EUR", Decimal(minute), Decimal(0), Decimal(0), None, b"{}")
            history.add(Snapshot("shop", "a", at + timedelta(minutes=minute), 0.1, figures))
        failure = Failure(FailureKind.REFUSED, '=HYPERLINK("http://example.org")')
        history.add(Snapshot("shop", "a", at + timedelta(days=1), 0.1, failure=failure))


def test_a_picture_is_drawn(sqlite_shop: Shop, tmp_path: Path) -> None:
    """--png writes a PNG of the size asked for. It is of one currency, and says from when on there is one."""
    mine, picture = watched(sqlite_shop, tmp_path, "http://127.0.0.1:9"), tmp_path / "a.png"
    keep_looks(mine)
    refused = mine.run("history", "shop", "--png", picture)
    assert (refused.returncode, picture.exists()) == (USAGE, False)
    assert "--since 2026-01-01T00:20:00.000000Z" in refused.stderr
    done = mine.run("history", "shop", "--png", picture, "--size", "640x400", "--since", "2026-01-01T00:20:00Z")
    assert done.returncode == 0, done.stderr
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (640, 400)
    assert mine.run("history", "--png", picture, "--size", "9x9").returncode == USAGE


def test_a_long_history(sqlite_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has the last looks (ten here) and says so, the CSV has all. A server's words are no formula there."""
    monkeypatch.setattr("alikassa.cli.history._LONGEST_TABLE", 10)
    mine = watched(sqlite_shop, tmp_path, "http://127.0.0.1:9")
    keep_looks(mine)
    table = mine.run("history")
    assert table.stdout.count("2026-01-") == 10
    assert "2026-01-02" in table.stdout
    assert "The last 10;" in table.stderr
    rows = list(csv.DictReader(io.StringIO(mine.run("history", "--output", "csv").stdout)))
    assert len(rows) == 23
    assert rows[-1]["failure_text"] == '\'=HYPERLINK("http://example.org")'
    assert mine.run("history", "--since", "999999d").returncode == USAGE


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_exporter(shop: Watched) -> None:
    """Metrics as the account is, exact amounts beside them, no request to the provider for a scrape; the dashboard
    asks for metrics that are there; nothing of the key, the passphrase or `Sign` anywhere; SIGTERM ends it with 0."""
    port = free_port()
    environment = nobodys_environment() | shop.env
    with subprocess.Popen(
        [ALIKASSA, "exporter", "--port", str(port), "--every", "1h"], env=environment, stderr=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 20
        text = ""
        while "alikassa_balance{" not in text and time.monotonic() < until:
            try:
                text = get(port, "/metrics")[1].decode()
            except OSError:
                time.sleep(0.05)
        exact = get(port, "/balances.json")[1]
        for _ in range(5):
            get(port, "/metrics")
        statuses = [get(port, path)[0] for path in ("/healthz", "/else")] + [get(port, "/metrics", "POST")[0]]
        process.terminate()
        complaints = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert statuses == [200, 404, 405]
    labels = f'account="{shop.shop.account}",bucket="balance",currency="RUB",profile="shop"'
    assert f"alikassa_balance{{{labels}}} 93.84\n" in text
    assert re.search(r"alikassa_up\{.*\} 1\.0", text)
    assert json.loads(exact)["balances"][0]["balance"] == "93.84000000"
    assert len(json.loads(shop.run("history", "--output", "json").stdout)) == 1
    exported = set(re.findall(r"^(\w+)\{", text, re.MULTILINE))
    for dashboard in (ROOT / "contrib" / "grafana").glob("alikassa.json"):
        asked = set(re.findall(r"alikassa_\w+", " ".join(re.findall(r'"expr": "(.*)"', dashboard.read_text()))))
        assert asked == exported
    for secret in [*shop.secrets(), openssl_sign(shop.shop.payout, b"{}").encode()]:
        assert secret not in text.encode() + exact + complaints + shop.history.read_bytes()


def test_nothing_secret_is_kept_or_printed(shop: Watched) -> None:
    """A server that repeats `Sign` in its answer and its refusal: ndjson, table, history and file are free of it."""
    sign = openssl_sign(shop.shop.payout, b"{}")
    echo = json.dumps({"currency": "RUB", "balance": "1", "hold": "0", "rolling_reserve": "0", "echo": sign}).encode()
    refusal = json.dumps({"message": f"bad {sign}", "errors": {"sign": [sign]}}).encode()
    said = ""
    with wire_server(ok(echo), respond(400, refusal), ok(echo)) as other:
        mine = watched(shop.shop, shop.folder, other.url)
        for arguments in (("--ndjson",), ("--ndjson",), ()):
            done = mine.run("watch", "--once", *arguments)
            said += done.stdout + done.stderr
        # Or the server had nothing to repeat.
        assert all(sign.encode() in request for request in other.requests)
    said += mine.run("history").stdout + mine.run("history", "--output", "csv").stdout
    assert "bad" in said
    everything = said.encode() + b"".join(file.read_bytes() for file in mine.history.parent.iterdir())
    for secret in [sign.encode(), *mine.secrets()]:
        assert secret not in everything


def test_one_look_that_brings_nothing_fails(sqlite_shop: Shop, tmp_path: Path) -> None:
    """A script sees by the exit code that there was no answer; the row says why."""
    done = watched(sqlite_shop, tmp_path, f"http://127.0.0.1:{free_port()}").run("watch", "--once", "--ndjson")
    assert done.returncode == NETWORK
    assert json.loads(done.stdout)["failure"] == "network"


def test_without_a_profile_there_is_nothing_to_watch(tmp_path: Path) -> None:
    """Says so, and how to make one."""
    from command_line import complaint

    words = complaint(CONFIGURATION, "watch", "--once", env={"ALIKASSA_CONFIG": str(tmp_path / "none.toml")})
    assert "alikassa profile add" in words


def test_the_exporter_begins_with_the_last_numbers(sqlite_shop: Shop, tmp_path: Path) -> None:
    """Before any look of its own it shows the history's last answer at that answer's time; `up` waits for a look."""
    nobody = watched(sqlite_shop, tmp_path, f"http://127.0.0.1:{free_port()}")
    at = datetime.now(UTC) - timedelta(hours=2)
    figures = Figures("RUB", Decimal("7.5"), Decimal(0), Decimal(0), None, b"{}")
    with History(nobody.history) as history:
        history.add(Snapshot("shop", str(sqlite_shop.account), at, 0.1, figures))
        failure = Failure(FailureKind.NETWORK, "gone")
        history.add(Snapshot("shop", str(sqlite_shop.account), at + timedelta(hours=1), 0.1, failure=failure))
        latest = Latest({"shop": str(sqlite_shop.account)}, now=lambda: at + timedelta(hours=2))
        for snapshot in history.last("shop", str(sqlite_shop.account), 1):
            latest.begin(snapshot)
    text = latest.metrics().decode()
    assert re.search(r'alikassa_balance\{.*bucket="balance".*\} 7\.5\n', text)
    assert re.search(r"alikassa_balance_age_seconds\{.*\} 7200\.0\n", text)
    assert "alikassa_up{" not in text
    assert 'kind="network",profile="shop"} 0.0' in text
    port = free_port()
    environment = nobodys_environment() | nobody.env
    with subprocess.Popen([ALIKASSA, "exporter", "--port", str(port)], env=environment, stderr=subprocess.PIPE) as one:
        assert one.stderr is not None
        one.stderr.readline()
        (row,) = json.loads(get(port, "/balances.json")[1])["balances"]
        one.terminate()
    assert row["balance"] == "7.5"
    assert row["age_seconds"] >= 7200
