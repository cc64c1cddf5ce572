"""Faults of the database under steady requests: balances are true or 503, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from conftest import make_shop
from long.faults import made
from long.faults.cells import Cell, Times, cells_of
from long.faults.on_postgresql import postgresql
from long.faults.on_sqlite import sqlite
from long.faults.promised import LASTS, PROMISED, SECONDS, SLACK_SECONDS, Promised
from long.faults.stand import GOOD, Stand, Told
from operator_server import Served, operator_served
from test_metrics_server import Scraped, scrape

#: How long all is well before the fault, and afterwards.
BEFOREHAND = 2.0
AFTERWARDS = 1.0
#: How long readiness may be behind: what it found is told for 0.2 s, and a look that began earlier may take its time.
AGAIN_SECONDS = 3.0
#: What a scrape may take: two seconds for the token, two for the database.
SCRAPE_SECONDS = 4.0
#: Where what was seen is left for `make reliability`.
SEEN = os.environ.get("ALIKASSA_RELIABILITY", "")

ENGINES = {"sqlite": sqlite, "postgresql": postgresql}
CELLS = [(engine, fault) for engine in ENGINES for fault in made.FAULTS]


@dataclass(frozen=True)
class Tried:
    """A fault that is over."""

    promised: Promised
    stand: Stand
    times: Times
    cells: dict[str, Cell]
    #: The metrics at the end.
    found: Scraped
    log: str


@pytest.fixture(scope="module", params=CELLS, ids="-".join)
def tried(request: pytest.FixtureRequest, archives: Callable[[str], Path]) -> Tried:
    """Each fault in turn."""
    engine, fault = request.param
    if (engine, fault) == ("sqlite", "silent"):
        pytest.skip("a file has no line that could fall silent")
    with tempfile.TemporaryDirectory(prefix=f"{engine}-", suffix=f"-{fault}") as name:
        return _run(engine, fault, Path(name), archives)


def test_a_fault_costs_time_and_nothing_else(tried: Tried) -> None:
    """Each 200 was true at some moment of its request, every acknowledged command is booked once, and so is every
    unknown one that was repeated; afterwards everything is well again by itself."""
    for cell in tried.cells.values():
        assert cell.wrong == [], tried.log
        assert cell.recovered < 15
    assert tried.cells["read"].statuses.keys() <= {"200", "503", "no answer", "no connection"}
    assert tried.log.count('"event": "database"') < 60, "the log is not flooded"


def test_readiness_says_what_requests_meet(tried: Tried) -> None:
    """While balances cannot be told, /readyz is 503 and so is each request; while nothing can be booked,
    /operator/readyz is and so is each command, unless it had been booked and nobody was told. Before and after both
    are 200, as soon as requests are."""
    for kind, may in (("read", tried.promised.reads), ("posting", tried.promised.posts)):
        cell = tried.cells[kind]
        # Who is refused before his command has come has his connection closed, and the next one on it is lost.
        also = {"no answer"} if kind == "posting" and "503" in may else set()
        if cell.during.get("200", 0) <= cell.found_booked:
            also |= {"200"}
        for name, counts, allowed in (("requests", cell.during, may | also), ("readiness", cell.ready_during, may)):
            assert counts.keys() & may, f"no {name} of {kind}"
            assert counts.keys() <= allowed, f"{name} of {kind}: {counts}"
        assert cell.ready_outside.keys() == {"200"}
        assert cell.ready_again <= cell.recovered + AGAIN_SECONDS
    if tried.promised.batches_fail:
        # A fault that comes and goes is met, too.
        posting = tried.cells["posting"]
        assert posting.during.get("503")
        assert posting.ready_during.get("503")


def test_nobody_waits_longer_than_the_page_says(tried: Tried) -> None:
    """Requests in which the fault began or ended included."""
    read, posting = tried.cells["read"], tried.cells["posting"]
    assert read.longest <= tried.promised.longest_read + SLACK_SECONDS
    assert posting.longest <= tried.promised.longest_post + SLACK_SECONDS


def test_metrics_say_whether_the_database_is_up(tried: Tried) -> None:
    """While it is away a scrape goes on, says so and leaves out what only the database knows; it is never waited for
    long. Before and after the database is up."""
    during = tried.cells["posting"].up_during
    assert during
    assert during.keys() <= tried.promised.up, during
    for one in tried.stand.scrapes:
        assert one.ended - one.begun < SCRAPE_SECONDS + SLACK_SECONDS
        if one.found is not None:
            is_up = one.found.of("database_up") == 1
            assert (one.found.get(("alikassa_books_discrepancies_open", ())) == 0) == is_up
    before = [one for one in tried.stand.scrapes if one.ended < tried.times.begun]
    assert before
    assert all(one.found is not None and one.found.of("database_up") == 1 for one in before)
    assert tried.found.of("database_up") == 1


def test_metrics_count_what_was_answered(tried: Tried) -> None:
    """Balance requests by outcome, answers at the operator's port by status, commands by what became of them: exactly,
    but for the last second of a process that was killed. Reads and batches that failed are counted, too."""
    found, stand = tried.found, tried.stand
    reads = Counter(one.status for one in stand.reads)
    ok = found.of("server_requests_total", outcome="ok", reason="")
    unavailable = found.of("server_requests_total", outcome="unavailable", reason="")
    failed_reads = found.total("server_read_failures_total") + found.total("server_reads_turned_away_total")
    assert bool(failed_reads) == bool(reads[503])
    assert (found.total("books_batch_failures_total") > 0) or not tried.promised.batches_fail
    began = [found.of("process_starts_total", process=process) for process in ("workers", "operator")]
    if tried.promised.kills:
        assert began == [2, 2]
        assert unavailable == reads[503] == 0
        assert reads[200] - _lately(stand.reads, tried.times) <= ok <= reads[200] + reads[0]
        return
    assert began == [1, 1]
    assert (ok, unavailable) == (reads[200], reads[503])
    assert found.by("server_requests_total", "outcome").keys() <= {("ok",), ("unavailable",)}
    told = Counter(one.status for one in (*stand.posts, *stand.ready["/operator/readyz"]))
    assert not any(one.found is None for one in stand.scrapes)
    assert found.by("operator_requests_total", "status")["503",] == told[503]
    commands = found.by("books_commands_total", "outcome")
    posts = Counter(one.status for one in stand.posts)
    assert (commands["booked",], commands["repeated",]) == (posts[201], posts[200])
    # Some were refused before they came to the books, since nobody knew the token.
    assert commands.total() - posts[201] - posts[200] <= posts[503]


def _lately(told: list[Told], times: Times) -> int:
    """Good answers of the last second before the fault, and of its beginning."""
    return sum(one.status in GOOD and times.begun - 1.5 < one.ended < times.there for one in told)


def test_what_is_killed_is_killed_in_the_midst_of_work(tried: Tried) -> None:
    """Of processes: commands were under way and never answered. Of connections: some were cut when their commit was
    done, and commands of which nobody knew were found booked."""
    posting = tried.cells["posting"]
    assert posting.unanswered > 0 or not tried.promised.unanswered
    assert min(posting.cut_after_commit, posting.found_booked) > 0 or not tried.promised.cut


def _run(engine: str, fault: str, folder: Path, archives: Callable[[str], Path]) -> Tried:
    with ENGINES[engine](folder) as place:
        shop = make_shop(place.own_url, archives("payout"), archives("payment"))
        with operator_served(folder, place.url) as served:
            stand = Stand(shop, served)
            with stand.running():
                time.sleep(BEFOREHAND)
                begun = time.monotonic()
                with place.faults[fault](served):
                    there = time.monotonic()
                    time.sleep(LASTS.get((engine, fault), SECONDS))
                    leaving = time.monotonic()
                ended = time.monotonic()
                try:
                    stand.wait_for_more()
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{served.server.log()[-5000:]}") from None
                times = Times(begun, there, leaving, ended, time.monotonic())
                time.sleep(AFTERWARDS)
            found = _counted(stand, served)
            met = fault == "full"
            cells = cells_of(stand, place.own_url, times, met=met, cut_after_commit=place.cut_after_commit())
            if SEEN:
                _keep(Path(SEEN), engine, fault, cells, place.version)
            return Tried(PROMISED[engine, fault], stand, times, cells, found, served.server.log())


def _counted(stand: Stand, served: Served) -> Scraped:
    """The metrics once they have all that was asked, or soon: each process tells once a second, and what the database
    was asked is good for two."""
    good = sum(one.status == 200 for one in stand.reads)
    until = time.monotonic() + 4
    while True:
        found = scrape(served.operator)
        counted = found.of("server_requests_total", outcome="ok", reason="") >= good
        if (counted and found.of("database_up") == 1) or time.monotonic() > until:
            return found
        time.sleep(0.2)


def _keep(folder: Path, engine: str, fault: str, cells: dict[str, Cell], version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{engine}.version").write_text(version)
    for kind, cell in cells.items():
        (folder / f"{engine}.{fault}.{kind}.json").write_text(json.dumps(msgspec.to_builtins(cell)))
