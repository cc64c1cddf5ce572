"""Metrics: totals of processes that come and go, how they are shown, and who may see them."""

from __future__ import annotations

import asyncio
import os
import random
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from alikassa.errors import DatabaseUnavailableError
from alikassa.ledger import waiting
from alikassa.ledger.counts import Spread
from alikassa.ledger.database import Database
from alikassa.ledger.reader import reader_for
from alikassa.server.metrics import families, folder, leaving
from alikassa.server.metrics.exposition import expose
from alikassa.server.metrics.folder import Leaving, Reading, new_folder
from alikassa.server.metrics.leaving import LeavingTotals
from alikassa.server.metrics.requests import RequestCounts
from alikassa.server.metrics.samples import Sample, Totals, add_up, counted, spread
from alikassa.server.metrics.worker import _reads
from alikassa.server.operator import metrics as access
from alikassa.server.requests.kept import Outcome
from operator_server import Operator, operator_here

PATH = "/operator/metrics"
GONE = families.GONE.name
IN_FLIGHT = families.IN_FLIGHT.name


@pytest.fixture
def there() -> Iterator[Path]:
    with new_folder() as made:
        yield made


def value(totals: list[Totals], family: str) -> float | None:
    """What it is altogether; None when nobody tells."""
    return next((sample.value for sample in add_up(totals) if sample.family == family), None)


# Files of processes


def left(there: Path, gone: int, in_flight: int) -> Leaving:
    leaving = Leaving(there)
    leaving.write([counted(families.GONE, gone), counted(families.IN_FLIGHT, in_flight)])
    return leaving


def test_what_a_process_counted_outlives_it(there: Path) -> None:
    """Counters of those that ended stay in the sum, their gauges do not; their files make room."""
    reading = Reading(there)
    with closing(left(there, 5, 1)) as first, closing(left(there, 7, 2)):
        assert (value(reading.read(), GONE), value(reading.read(), IN_FLIGHT)) == (12, 3)
        first.close()
        assert (value(reading.read(), GONE), value(reading.read(), IN_FLIGHT)) == (12, 2)
        assert len(list(there.glob("*.json"))) == 1
        first.close = lambda: None  # type: ignore[method-assign]
        with closing(left(there, 1, 4)):
            assert (value(reading.read(), GONE), value(reading.read(), IN_FLIGHT)) == (13, 6)
    assert (value(reading.read(), GONE), value(reading.read(), IN_FLIGHT)) == (13, None)
    assert value(Reading(there).read(), GONE) == 13
    assert [file.name for file in there.iterdir()] == ["ended"]


def test_seconds_do_not_fall_by_their_last_digit_when_processes_end(there: Path) -> None:
    """Floats that are added in another order differ in it: Prometheus takes the least fall for a counter that began
    again."""
    reading, drawn = Reading(there), random.Random(20)  # noqa: S311
    alive = [Leaving(there) for _ in range(12)]
    for one in alive:
        took = Spread()
        took.add_seconds(drawn.uniform(0, 5))
        one.write([counted(families.CPU, drawn.uniform(0, 5), "workers"), spread(families.READ_SECONDS, took)])
    seen = set()
    for ended in range(len(alive) + 1):
        totals = reading.read()
        seen.add((value(totals, families.CPU.name), value(totals, families.READ_SECONDS.name)))
        if ended < len(alive):
            alive[ended].close()
    assert len(seen) == 1
    assert (there / "ended").exists()


def test_a_reader_that_is_stopped_in_between_counts_nothing_twice(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ended process is in the sum already, and its files are still there."""
    left(there, 5, 1).close()
    with monkeypatch.context() as patch:
        patch.setattr(Reading, "_delete", lambda *_: None)
        assert value(Reading(there).read(), GONE) == 5
    assert len(list(there.glob("*.json"))) == 1
    assert value(Reading(there).read(), GONE) == 5
    assert value(Reading(there).read(), GONE) == 5
    assert [file.name for file in there.iterdir()] == ["ended"]


def test_a_disk_that_is_full_loses_nothing(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the files of ended processes stay, and count as they did."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    left(there, 5, 1).close()
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_replace", full)
        assert value(Reading(there).read(), GONE) == 5
    assert value(Reading(there).read(), GONE) == 5


def test_a_file_that_cannot_be_read_costs_only_itself(there: Path) -> None:
    """Half written, or of another version."""
    with closing(left(there, 5, 1)), closing(Leaving(there)) as other:
        assert value(Reading(there).read(), GONE) == 5
        (there / f"{other.name}.json").write_bytes(b'[["alikassa_serv')
        assert value(Reading(there).read(), GONE) == 5
        (there / f"{other.name}.json").write_bytes(msgspec.json.encode([Sample("alikassa_of_another", (), 1)]))
        assert value(Reading(there).read(), GONE) == 5


def test_the_folder_is_for_its_user_alone() -> None:
    """And is gone afterwards."""
    with new_folder() as made:
        assert made.stat().st_mode & 0o777 == 0o700
        with closing(left(made, 1, 1)):
            assert len(list(made.iterdir())) == 2
    assert not made.exists()


def test_what_a_killed_server_left_is_removed_a_day_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next one that begins. What somebody may still use, and what is no folder of a server's, stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young, other = (tmp_path / name for name in ("alikassa-metrics-a", "alikassa-metrics-b", "alikassa-c"))
    for folder_, age in ((old, 90_000), (young, 3600), (other, 90_000)):
        folder_.mkdir()
        (folder_ / "ended").touch()
        os.utime(folder_, (time.time() - age,) * 2)
    with new_folder() as made:
        assert set(tmp_path.iterdir()) == {young, other, made}


@pytest.mark.anyio
async def test_totals_are_left_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then every second, then at the end. A folder that cannot be written to is told of once, and costs
    nothing else; when it can be again, all that was counted meanwhile is there."""
    monkeypatch.setattr(leaving, "PAUSE_SECONDS", 0.02)
    counts, failures = RequestCounts(), list[OSError]()
    place = tmp_path / "counts"
    totals = LeavingTotals(place, counts.samples, failures.append)
    counts.gone = 1
    totals.start()
    await asyncio.sleep(0.2)
    assert [type(one) for one in failures] == [FileNotFoundError]
    assert totals.name == ""
    place.mkdir()
    counts.gone = 2
    await asyncio.sleep(0.2)
    assert value(Reading(place).read(), GONE) == 2
    assert value(Reading(place).read(without=totals.name), GONE) is None
    monkeypatch.setattr(leaving, "PAUSE_SECONDS", 60)
    await asyncio.sleep(0.1)
    counts.gone = 3
    await totals.close()
    assert value(Reading(place).read(), GONE) == 3
    assert len(failures) == 1


# How they are shown


def test_requests_are_counted_in_words_from_closed_sets() -> None:
    """A reason that is not known is `other`, whatever it says."""
    counts = RequestCounts()
    for reason in ("malformed:account,sign", "malformed:body", "too_late", "malformed:password=hunter2"):
        counts.ended(Outcome.MALFORMED, reason, 0.0)
    counts.ended(Outcome.OK, "", 0.0)
    counts.refused(0.0)
    counts.cause("wrong_length")
    counts.cause("")
    found = {(one.family, *one.labels): one.value for one in counts.samples() if not one.buckets}
    requests = {key[1:]: count for key, count in found.items() if key[0] == families.REQUESTS.name}
    assert requests == {
        ("ok", ""): 1,
        ("malformed", "account,sign"): 1,
        ("malformed", "body"): 1,
        ("malformed", "too_late"): 1,
        ("malformed", "other"): 1,
        ("refused", "signature"): 1,
    }
    causes = {key[1:]: count for key, count in found.items() if key[0] == families.CAUSES.name}
    assert causes == {("wrong_length",): 1, ("not_worked_out",): 1}


@pytest.mark.anyio
async def test_who_is_turned_away_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since too many waited for a read."""
    monkeypatch.setattr(waiting, "MOST_WAITING", 2)
    async with await Database.open(f"sqlite:///{tmp_path / 'books.db'}", create=True) as database:
        reader = reader_for(database)
        asked = [reader.find(str(uuid.uuid4())) for _ in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        totals = [Totals(_reads(reader.counts))]
        await reader.close()
    assert [type(one) for one in answers] == [type(None)] * 2 + [DatabaseUnavailableError] * 3
    assert value(totals, families.READ_TURNED_AWAY.name) == 3


def test_a_histogram_is_shown_with_its_bounds() -> None:
    """Seconds, whatever is below the first bound in it, what is above the last only in +Inf."""
    times = Spread()
    for seconds in (0.000003, 0.000017, 0.0009, 100.0):
        times.add_seconds(seconds)
    body, _ = expose([spread(families.READ_SECONDS, times)], "application/openmetrics-text")
    (family,) = [one for one in parse_openmetrics(body.decode()) if one.name == families.READ_SECONDS.name]  # type: ignore[no-untyped-call] # it has no types
    found = {one.labels.get("le", one.name.rpartition("_")[2]): one.value for one in family.samples}
    assert (found["1.6e-05"], found["3.2e-05"], found["0.000512"], found["0.001024"]) == (1, 2, 2, 3)
    assert (found["16.777216"], found["+Inf"], found["count"]) == (3, 4, 4)
    assert found["sum"] == pytest.approx(100.00092)


def test_both_formats_say_the_same() -> None:
    """The parsers of prometheus-client read the same values from both, with everything known at 0."""
    samples = [counted(families.REQUESTS, 3, "ok", ""), counted(families.DATABASE_UP, 1)]
    text, text_type = expose(samples, "*/*")
    openmetrics, openmetrics_type = expose(samples, "text/plain;q=0.3, application/openmetrics-text; version=1.0.0")
    assert text_type.startswith("text/plain; version=0.0.4")
    assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.endswith(b"# EOF\n")
    read = [
        {(one.name, *sorted(one.labels.items())): one.value for family in found for one in family.samples}
        for found in (parse_text(text.decode()), parse_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call] # as above
    ]
    assert read[0] == read[1]
    assert read[0]["alikassa_server_requests_total", ("outcome", "ok"), ("reason", "")] == 3
    assert read[0]["alikassa_server_requests_total", ("outcome", "error"), ("reason", "")] == 0


# Who sees them


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with operator_here(f"sqlite:///{tmp_path / 'books.db'}") as here:
        yield here


def scraped(operator: Operator, pattern: str) -> list[str]:
    answer = operator.ask("GET", PATH)
    assert answer.status == 200, answer.body
    return re.findall(rf"^alikassa_{pattern}$", answer.body.decode(), re.MULTILINE)


def test_the_books_work_shows(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was booked through the API, and what the database knows of discrepancies and verifications."""
    monkeypatch.setattr("alikassa.server.metrics.asked._FRESH_SECONDS", 0)
    account = operator.open_account()
    operator.done(f"{account}/payment", {"amount": "10", "reference": "order-1"})
    operator.done(f"{account}/payment", {"amount": "10", "reference": "order-1"})
    assert operator.post(f"{account}/payout_created", {"amount": "99", "reference": "payout-1"}).status == 422
    assert scraped(operator, r"books_commands_total.*") == [
        'alikassa_books_commands_total{kind="payment",outcome="booked"} 1.0',
        'alikassa_books_commands_total{kind="payment",outcome="repeated"} 1.0',
        'alikassa_books_commands_total{kind="payout_created",outcome="insufficient_funds"} 1.0',
    ]
    assert scraped(operator, r"books_entries_total\{kind=\"payment\"\} 1.0")
    assert scraped(operator, r"books_sweeps_total\{outcome=\"done\"\} 1.0")
    assert scraped(operator, r"operator_requests_total\{status=\"422\"\} 1.0")
    assert scraped(operator, r"database_up 1.0")
    assert scraped(operator, r"books_discrepancies_open 0.0")
    assert not scraped(operator, r"books_verification_problems.*")
    operator.done(f"{account}/payout_created", {"amount": "5", "reference": "payout-1"})
    operator.done(f"{account}/payout_paid", {"reference": "payout-1"})
    assert operator.post(f"{account}/payout_failed", {"reference": "payout-1"}).status == 409
    assert operator.get("/verify").status == 200
    assert scraped(operator, r"books_discrepancies_open 1.0")
    assert scraped(operator, r"books_verification_problems 0.0")
    assert scraped(operator, r"books_verification_timestamp_seconds 1.*")


def test_only_a_token_sees_them(operator: Operator) -> None:
    """One that reads is enough."""
    assert operator.bearing("").ask("GET", PATH).status == 401
    assert operator.bearing("made-up").ask("GET", PATH).status == 401
    assert operator.bearing(operator.read_token).ask("GET", PATH).status == 200
    assert operator.bearing(operator.read_token).ask("POST", PATH).status == 405
    assert operator.bearing(operator.read_token).ask("GET", PATH, accept="\x7f;;,=;q=x/y").status == 200


def test_while_the_database_is_away_only_who_was_known_sees_them(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an hour since the database admitted that token; everybody else is told that nobody can tell."""
    monkeypatch.setattr("alikassa.server.metrics.asked._FRESH_SECONDS", 0)
    reader = operator.bearing(operator.read_token)
    assert scraped(reader, r"database_up 1.0")
    away = (tmp_path / "books.db").rename(tmp_path / "away.db")
    assert scraped(reader, r"database_up 0.0")
    assert not scraped(reader, r"books_discrepancies_open.*")
    assert operator.bearing(operator.write_token).ask("GET", PATH).status == 503
    assert operator.bearing("").ask("GET", PATH).status == 401
    monkeypatch.setattr(access, "REMEMBERED_SECONDS", 0)
    assert reader.ask("GET", PATH).status == 503
    away.rename(tmp_path / "books.db")
    assert scraped(reader, r"database_up 1.0")
