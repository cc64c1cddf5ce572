"""Metrics of whole servers: what was asked is what they say, whoever answered it and whatever happened to that one."""

from __future__ import annotations

import base64
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from conftest import Server, Shop, make_shop
from operator_server import Operator, Served, operator_served, wait_until
from raw_http import ask, balance_headers, connect, parse, request, sign

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
WRONG = base64.b64encode(b"\x01" * 256).decode()
STRANGER = "ffffffff-ffff-4fff-bfff-ffffffffffff"


class Scraped(dict[tuple[str, tuple[tuple[str, str], ...]], float]):
    """Values by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        return self[f"alikassa_{name}", tuple(sorted(labels.items()))]

    def total(self, name: str) -> float:
        return sum(value for (found, _), value in self.items() if found == f"alikassa_{name}")

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Without those at 0."""
        found: Counter[tuple[str, ...]] = Counter()
        for (one, pairs), value in self.items():
            if one == f"alikassa_{name}" and value:
                found[tuple(dict(pairs)[label] for label in labels)] += int(value)
        return found


def scrape(operator: Operator) -> Scraped:
    answer = operator.bearing(operator.read_token).ask("GET", "/operator/metrics", accept=OPENMETRICS)
    assert answer.status == 200, answer.body
    return Scraped(
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in parse_openmetrics(answer.body.decode())  # type: ignore[no-untyped-call] # it has no types
        for sample in family.samples
    )


REQUESTS = ("server_requests_total", "outcome", "reason")


def requests_of(operator: Operator, expected: Counter[tuple[str, ...]]) -> Scraped:
    """What a scrape says once it has so many requests: each process tells once a second."""
    found = scrape(operator)
    until = time.monotonic() + 8
    while found.by(*REQUESTS).total() < expected.total() and time.monotonic() < until:
        time.sleep(0.1)
        found = scrape(operator)
    assert found.by(*REQUESTS) == expected
    return found


def pipelined(server: Server, wanted: list[bytes]) -> Counter[int]:
    with connect(server) as connection:
        connection.sendall(b"".join(wanted))
        received = b""
        while received.count(b"HTTP/1.1 ") < len(wanted) or not received.endswith(b"}"):
            received += connection.recv(65536)
    return Counter(answer.status for answer in parse(received))


@pytest.fixture
def served(tmp_path: Path, archives: Callable[[str], Path]) -> Iterator[Callable[..., tuple[Served, Shop]]]:
    """Starts both servers, two workers, on a shop's books."""
    with ExitStack() as stack:

        def start(*options: str) -> tuple[Served, Shop]:
            shop = make_shop(f"sqlite:///{tmp_path / 'books.db'}", archives("payout"), archives("payment"))
            return stack.enter_context(operator_served(tmp_path, shop.database, "--workers", "2", *options)), shop

        yield start


FORWARDED = {"X-Forwarded-For": "203.0.113.5"}


def wrong_ones(shop: Shop) -> list[tuple[dict[str, str | bytes], bytes, int, tuple[str, str], str]]:
    """Headers that are changed, the body, the status, outcome and reason, and the cause of a refused signature."""
    refused = ("refused", "signature")
    return [
        ({"Sign": WRONG}, b"{}", 400, refused, "wrong_signature"),
        ({"Sign": "AAAA"}, b"{}", 400, refused, "wrong_length"),
        ({"Sign": sign(shop.payment, b"{}")}, b"{}", 400, refused, "payment_certificate"),
        ({"Account": STRANGER}, b"{}", 400, refused, "unknown_account"),
        ({"Sign": sign(shop.payout, b"x")}, b"x", 400, ("malformed", "body"), ""),
        ({"Account": "?"}, b"{}", 400, ("malformed", "account"), ""),
        ({"Sign": "?", "Content-Type": "text/plain"}, b"{}", 400, ("malformed", "content_type,sign"), ""),
        ({}, b"{}" + b" " * 20_000, 413, ("malformed", "too_large"), ""),
        ({"Sign": (stamp := _other_account(shop))[1]}, stamp[0], 400, ("refused", "other_account"), ""),
    ]


def _other_account(shop: Shop) -> tuple[bytes, str]:
    body = (
        f'{{"account":"{STRANGER}","timestamp":{int(time.time())},"nonce":"0123456789abcdef0123456789abcdef"}}'.encode()
    )
    return body, sign(shop.payout, body)


def test_totals_are_what_was_asked(served: Callable[..., tuple[Served, Shop]]) -> None:
    """Of two workers, every outcome but a defect: exactly, in counters, in histograms, and causes soon after. A scrape
    works on while the database is away, for who scraped before."""
    both, shop = served("--trusted-proxy", "127.0.0.1", "--limit-address", "5/hour", "--body-seconds", "0.5")
    server, operator = both.server, both.operator
    expected: Counter[tuple[str, ...]] = Counter()
    causes: Counter[tuple[str, ...]] = Counter()
    good = balance_headers(shop.payout)
    for changes, body, status, ended, cause in wrong_ones(shop) * 3:
        assert ask(server, request((good | changes).items(), body)).status == status
        expected[ended] += 1
        causes.update([(cause,)] if cause else [])
    with ThreadPoolExecutor(4) as pool:
        told = sum(pool.map(pipelined, [server] * 20, [[request(good.items(), keep_alive=True)] * 50] * 20), Counter())
    assert told == {200: 1000}
    limited = Counter(ask(server, request((good | FORWARDED).items())).status for _ in range(30))
    assert limited.keys() == {200, 429}
    expected["ok", ""] += 1000 + limited[200]
    expected["limited", ""] += limited[429]
    with connect(server) as connection:
        connection.sendall(request(good.items(), None)[:-2] + b"Content-Length: 2\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    expected["malformed", "too_late"] += 1

    found = requests_of(operator, expected)
    wait_until(lambda: scrape(operator).by("server_refusal_causes_total", "cause") == causes)
    durations = found.by("server_request_duration_seconds_count", "outcome")
    assert durations == Counter({(outcome,): 0 for outcome, _ in expected}) + _by_outcome(expected)
    # 1,000 of one signature were verified once a worker.
    assert 1 <= found.of("server_known_signatures") <= 2
    assert found.of("server_read_requests_count") <= found.of("server_read_requests_sum") <= expected.total()
    assert found.of("processes", process="workers") == found.of("workers_wanted") == 2
    assert found.of("server_requests_in_flight") == 0
    assert found.of("database_up") == 1

    books = Path(shop.database.removeprefix("sqlite:///"))
    books.rename(books.with_name("away.db"))
    wait_until(lambda: scrape(operator).of("database_up") == 0)
    for _ in range(20):
        answer = ask(server, request(good.items()))
        expected["unavailable" if answer.status == 503 else "ok", ""] += 1
    assert expected["unavailable", ""] > 0
    found = requests_of(operator, expected)
    assert found.of("database_up") == 0
    assert found.total("server_read_failures_total") > 0
    assert both.operator.bearing("").ask("GET", "/operator/metrics").status == 401
    assert both.operator.bearing("made-up").ask("GET", "/operator/metrics").status == 503
    books.with_name("away.db").rename(books)
    wait_until(lambda: scrape(operator).of("database_up") == 1)

    text = operator.ask("GET", "/operator/metrics").body.decode()
    assert list(parse_text(text))
    secrets = (*(str(value)[:12] for value in good.values()), operator.read_token, operator.write_token, "203.0.113")
    secrets = (*secrets, shop.merchant, shop.payout_certificate, "127.0.0.1")
    secrets = tuple(one for one in secrets if one != "application/")
    assert [one for one in secrets if one in text] == []
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", text)


def _by_outcome(expected: Counter[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for (outcome, _), count in expected.items():
        found[outcome,] += count
    return found


def test_nothing_is_forgotten_with_a_worker_that_was_killed(served: Callable[..., tuple[Served, Shop]]) -> None:
    """Workers are killed one after the other, requests go on: totals never fall from one scrape to the next, what the
    killed had told is in the sum, their gauges are not, and they are replaced."""
    both, shop = served()
    server, operator = both.server, both.operator
    good = request(balance_headers(shop.payout).items())
    before = scrape(operator)
    folder = _folder(server)
    assert folder.stat().st_mode & 0o777 == 0o700
    asked = 0
    for round_ in range(1, 5):
        for _ in range(20):
            assert ask(server, good).status == 200
        asked += 20
        wait_until(lambda: scrape(operator).of("server_requests_total", outcome="ok", reason="") >= asked)  # noqa: B023
        # Never the latest: the server takes that for a worker that cannot start, and gives up.
        victim = min((made, pid) for made, pid in _processes(folder) if _parent(pid) == server.process.pid)[1]
        os.kill(victim, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = scrape(operator)
            fallen = {key for key, value in before.items() if _grows(key[0]) and found.get(key, -1.0) < value}
            assert not fallen
            before = found
            if found.of("process_starts_total", process="workers") == 2 + round_:
                break
        wait_until(lambda: _answers(server, good))
        asked = int(scrape(operator).of("server_requests_total", outcome="ok", reason=""))
    assert before.of("process_starts_total", process="workers") == 6
    assert before.of("process_starts_total", process="operator") == 1
    assert scrape(operator).of("processes", process="workers") == 2
    assert len(list(folder.glob("*.json"))) == 3
    assert server.stop() == 0
    assert not folder.exists()


def _folder(server: Server) -> Path:
    """Where this server's processes leave their counts."""
    (folder,) = {
        Path(os.readlink(link)).parent
        for pid in _descendants(server.process.pid)
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if "alikassa-metrics-" in os.readlink(link)
    }
    return folder


def _descendants(pid: int) -> list[int]:
    children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(other for child in children for other in _descendants(child))]


def _processes(folder: Path) -> list[tuple[float, int]]:
    """Since when, and which."""
    return [(lock.stat().st_mtime, int(lock.name.partition("-")[0])) for lock in folder.glob("*.lock")]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _grows(name: str) -> bool:
    return name.endswith(("_total", "_count", "_bucket", "_sum"))


def _answers(server: Server, good: bytes) -> bool:
    try:
        return ask(server, good).status == 200
    except (OSError, ValueError):
        return False
