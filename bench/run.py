"""`make bench`: one run, one table. See README.md beside this file."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import open_loop
from client_rows import ACCOUNTS, measure_clients, serving_over_https
from crowd_rows import measure_crowd
from engines import fill_sqlite, grow_large, make_due, postgresql, prepare_stores, release_all
from help_rows import measure_help
from load import Load
from page_rows import measure_pages
from posting_rows import measure_postings
from processes import BENCH, progress
from question_rows import measure_questions
from report import print_report
from server_rows import measure_servers
from start_rows import measure_starts
from steady_rows import measure_rates
from worker_rows import measure_workers
from workload import BODY, LONG_BODY, Held, make_shops, write_requests
from written import write_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines import Stores
    from results import Section
    from workload import Shop

__all__ = ["main"]

#: Payments a second while balances are asked for: each makes every reader read afresh.
_BOOKED_MEANWHILE = 100
_PARTS = ("server", "rates", "workers", "crowd", "large", "booked", "postings", "questions", "client", "help")
# What asks books that are filled with many entries, which takes minutes.
_LARGE = {"large", "booked", "postings"}
_OF_BOOKS = {"server", "rates", "workers", "crowd"} | _LARGE


@dataclass(frozen=True)
class Plan:
    """How long a run measures."""

    rounds: int = 7
    seconds: int = 2
    #: Of what takes milliseconds: questions, pages, programs that start.
    runs: int = 15
    entries: int = 10**6
    crowd: int = 10_000


_QUICK = Plan(rounds=1, seconds=1, runs=3, entries=10**4, crowd=500)


def measure(parts: tuple[str, ...], plan: Plan, folder: Path, facts: dict[str, str]) -> Iterator[Section]:
    """The sections, as they are found. Adds to `facts` what the run was made with."""
    if _OF_BOOKS & set(parts):
        yield from _measure_books(parts, plan, folder, facts)
    if "questions" in parts:
        progress(f"Questions: filling books with {plan.entries:,} entries (a minute and a half) ...")
        yield _of("questions", measure_questions(folder, many=plan.entries, runs=plan.runs))
        yield _of("questions", measure_pages(folder, runs=plan.runs))
    if "client" in parts:
        progress("Client calls")
        (shop,) = make_shops(merchants=1, accounts_each=ACCOUNTS)
        place = folder / "client"
        place.mkdir()
        with serving_over_https(place, fill_sqlite(place, [shop]), shop) as options:
            yield _of("client", measure_clients(options, shop, rounds=plan.rounds, seconds=plan.seconds))
            progress("Starting")
            for section in measure_starts(options, shop.stands[0].balance, runs=plan.runs):
                yield _of("client", section)
    if "help" in parts:
        progress("alikassa --help")
        yield _of("help", measure_help(folder, runs=plan.runs))


def _of(part: str, section: Section) -> Section:
    return replace(section, part=part)


def _measure_books(parts: tuple[str, ...], plan: Plan, folder: Path, facts: dict[str, str]) -> Iterator[Section]:
    """What needs the two databases."""
    progress("Filling the books of 1,000 accounts, on SQLite and PostgreSQL (half a minute) ...")
    shops = make_shops()
    requests = folder / "requests.tsv"
    write_requests(requests, shops)
    load = Load(requests, BODY)
    measured = {"rounds": plan.rounds, "seconds": plan.seconds}
    with postgresql(folder / "postgresql") as url:
        stores, facts["PostgreSQL"] = prepare_stores(folder, url, shops)
        facts["Load"] = load.name
        facts["Servers"] = "one worker each; alikassa as `alikassa serve` starts it, without the operator's side"
        if "server" in parts:
            progress(f"Balance requests: {load.name}")
            yield _of("server", measure_servers(folder, stores, shops, load, facts, held=Held.NOTHING, **measured))
        yield from _measure_load(parts, plan, folder, stores, shops, facts)
        if not _LARGE & set(parts):
            return
        progress("Filling the books with 1,000,000 journal entries and 100,000 open lots (three minutes) ...")
        grow_large(stores)
        if "large" in parts:
            yield _of("large", measure_servers(folder, stores, shops, load, facts, held=Held.WAITING, **measured))
        if {"large", "booked"} & set(parts):
            make_due(stores)
            for part, booked in (("large", 0), ("booked", _BOOKED_MEANWHILE)):
                if part in parts:
                    found = measure_servers(
                        folder, stores, shops, load, facts, held=Held.DUE, booked=booked, **measured
                    )
                    yield _of(part, found)
            release_all(stores)
        if "postings" in parts:
            progress("Payments")
            for section in measure_postings(folder, stores, **measured):
                yield _of("postings", section)


def _measure_load(
    parts: tuple[str, ...], plan: Plan, folder: Path, stores: Stores, shops: list[Shop], facts: dict[str, str]
) -> Iterator[Section]:
    """Other loads than a closed loop's most: fixed rates, two workers, a crowd that stays."""
    requests, long_requests = folder / "requests.tsv", folder / "long-requests.tsv"
    write_requests(long_requests, shops, long=True)
    load, anew = Load(requests, BODY), Load(long_requests, LONG_BODY)
    measured = {"rounds": plan.rounds, "seconds": plan.seconds}
    if "rates" in parts and open_loop.compiler() is None:
        progress("Fixed rates are left out: no C compiler for bench/open_loop.c")
    elif "rates" in parts:
        progress("Fixed rates")
        yield _of("rates", measure_rates(folder, stores, load, requests, facts, **measured))
    if "workers" in parts:
        progress("One worker and two")
        for section in measure_workers(folder, stores, load, anew, **measured):
            yield _of("workers", section)
    if "crowd" in parts:
        progress(f"A crowd of {plan.crowd:,}")
        crowd = measure_crowd(folder, stores, requests, crowd=plan.crowd, rounds=min(plan.rounds, 3))
        yield _of("crowd", crowd)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure alikassa beside its yardsticks and print one table.")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it run? The numbers mean nothing.")
    parser.add_argument("--only", choices=_PARTS, nargs="+", help="parts of the table")
    parser.add_argument(
        "--output", type=Path, help="folder of RESULTS.md and results.json; without it this one, if the run is whole"
    )
    options = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts: dict[str, str] = {}
    plan = _QUICK if options.quick else Plan()
    parts = tuple(options.only or _PARTS)
    with tempfile.TemporaryDirectory(prefix="alikassa-bench-", ignore_cleanup_errors=True) as folder:
        sections = list(measure(parts, plan, Path(folder), facts))
    facts["Rounds"] = f"{plan.rounds} of {plan.seconds} s, taken in turn; what takes milliseconds {plan.runs} times"
    print_report(sections, facts)
    if options.quick:
        progress("--quick: only whether it runs; the numbers mean nothing.")
    if options.output is not None or not (options.only or options.quick):
        write_results(options.output or BENCH, sections, facts)


if __name__ == "__main__":
    main()
