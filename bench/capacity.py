"""`make capacity`: what docs/scaling.md says that one node does, and its model, from what was measured.

    capacity.py [--write]

The numbers are those of results.json. Before `make bench` has written one, they are those that were taken by hand.
"""

from __future__ import annotations

import argparse
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from processes import BENCH
from worker_rows import ANEW
from written import Results, read_results

__all__ = ["BY_HAND", "PAGE", "Measured", "filled", "main", "measured", "one_node", "the_model"]

PAGE = BENCH.parent / "docs" / "scaling.md"
RESULTS = BENCH / "results.json"
_MARKED = re.compile(r"(<!-- (one node|the model): written by `make capacity` -->\n).*?(<!-- end -->)", re.DOTALL)

# What is asked for, R and P on the page: requests/s, and payments/s of 10^5 merchants with one a minute, times five.
_REQUESTS = 100_000
_MERCHANTS, _PEAK = 100_000, 5
# Measured by hand on a three-node Citus: accounts/s that two cores read, eight joined, and seconds for one such read.
_ACCOUNTS_TWO_CORES = 11_900
_READ_SECONDS = 0.005
_LANES, _AT_ONCE = 64, 8
# What a worker remembers, of `alikassa.server.verification`.
_SIGNATURES, _KEYS = 16_384, 65_536
_HEADROOM = 2
_CORES = 2
_WORKERS_A_MACHINE, _CORES_A_NODE = 4, 8


@dataclass(frozen=True)
class Measured:
    """A second, of one worker: balance requests with the signature known, and on PostgreSQL with none known; payments
    booked on PostgreSQL by two cores."""

    sqlite: float
    postgresql: float
    anew: float
    payments: float
    where: str


BY_HAND = Measured(24_100, 17_100, 10_300, 7_900, "On a shared machine with two cores")


def measured(results: Results) -> Measured:
    """KeyError when the run lacks one of them."""
    known = "Balance requests/s (1,000 accounts)"
    return Measured(
        results.find(known, "alikassa, SQLite").median,
        results.find(known, "alikassa, PostgreSQL").median,
        results.find("One worker and two", f"alikassa, PostgreSQL, 1 worker, {ANEW}").median,
        results.find("Payments/s", "alikassa, PostgreSQL, 1,000 accounts, 10^6 entries").median,
        f"On one machine ({results.facts['Machine']}; [results](../bench/RESULTS.md) of {results.made})",
    )


def _about(value: float, digits: int = 2) -> int:
    """To so many digits, halves up."""
    step: int = 10 ** max(0, math.floor(math.log10(value)) + 1 - digits)
    return math.floor(value / step + 0.5) * step


def _paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def one_node(of: Measured) -> str:
    """What one worker does."""
    return _paragraph(
        f"{of.where}, load generator and database included, one worker was measured at {_about(of.sqlite, 3):,} balance"
        f" requests/s from SQLite and {_about(of.postgresql, 3):,} from PostgreSQL with the signature known, and at"
        f" {_about(of.anew, 3):,} when every signature is verified anew."
    )


def the_model(of: Measured) -> str:
    """The assumptions, and how many cores follow."""
    worker, payment = _about(of.anew), _about(of.payments / _CORES)
    account = _about(_ACCOUNTS_TWO_CORES / _CORES)
    steady = _about(_MERCHANTS / 60, 3)
    peak = _about(_MERCHANTS / 60 * _PEAK)
    workers, reads, payments = (_needed(*one) for one in ((_REQUESTS, worker), (_REQUESTS, account), (peak, payment)))
    joined, joined_by_half = _joined(workers), _joined(workers / _HEADROOM)
    fewer = math.ceil(reads * 1.5) if joined < _AT_ONCE else reads
    least, most = reads + payments, fewer + payments
    nodes = math.ceil(least / _CORES_A_NODE), math.ceil(most / _CORES_A_NODE)
    rows = [
        ("`R`", f"{_REQUESTS:,} requests/s", "given"),
        (
            "`w`",
            f"{worker:,} requests/s a worker and core",
            f"measured {_about(of.postgresql, 3):,} when signatures are known, {_about(of.anew, 3):,} when none is; a"
            f" worker remembers {_SIGNATURES:,} signatures, and {_KEYS:,} keys",
        ),
        (
            "`a`",
            f"{account:,} accounts/s read a database core, eight joined",
            f"{_ACCOUNTS_TWO_CORES:,} on two cores, which client and all nodes shared",
        ),
        (
            "`t`",
            f"{_READ_SECONDS * 1000:.0f} ms for one joined read",
            "a round trip through the coordinator to a node, under load",
        ),
        (
            "`P`",
            f"{peak:,} payments/s at peak",
            f"a payment a merchant and minute is {steady:,}/s, and five times that at peak",
        ),
        (
            "`p`",
            f"{payment:,} payments/s a database core",
            f"{_about(of.payments):,} on two cores, which who books shared",
        ),
        ("headroom", f"{_HEADROOM}", "half of the machines' load is left for a bad day"),
    ]
    joined_text = (
        "- **How many are joined**: a worker that is asked `r` times a second and reads eight lanes at once comes by"
        f" each of the {_LANES} every `8 t`; then `r · 8 t / 64 = r t / 8` wait there. With {workers} workers `r` ="
        f" {_about(_REQUESTS / workers):,} and {joined} are joined, with half as many {joined_by_half}: few busy"
        " workers join better than many idle ones. A request waits `4 t` on average,"
        f" {4000 * _READ_SECONDS:.0f} ms, and then `t`."
    )
    price = (
        f" With {joined} joined, count half as many cores again, {fewer}: the price of many workers."
        if fewer > reads
        else ""
    )
    span = f"{least}" if least == most else f"{least}-{most}"
    count = f"{nodes[0]}" if nodes[0] == nodes[1] else f"{nodes[0]} to {nodes[1]}"
    lanes = f"{_LANES // nodes[1]} or {_LANES // nodes[1] + 1}" if _LANES % nodes[1] else f"{_LANES // nodes[1]}"
    points = [
        f"- **Workers**: `R / w` = {_REQUESTS / worker:.1f} cores, with headroom **{workers}**:"
        f" {math.ceil(workers / _WORKERS_A_MACHINE)} machines with four.",
        joined_text,
        f"- **Reads**: `R / a` = {_REQUESTS / account:.1f} cores at eight joined, with headroom **{reads}**.{price}",
        f"- **Payments**: `P / p` = {peak / payment:.1f} cores, with headroom **{payments}**.",
        f"- **Database**: {span} cores: {count} workers of eight cores, and a coordinator, which plans every statement."
        f" {_LANES} lanes on {nodes[1]} nodes are {lanes} each, after moving shards.",
    ]
    table = ["| | assumption | why |", "|---|---|---|", *(f"| {' | '.join(one)} |" for one in rows)]
    return "\n".join([*table, "", *(_paragraph(one, "  ") for one in points)])


def _needed(rate: float, of_one: float) -> int:
    """Cores, with headroom."""
    return math.ceil(round(rate / of_one * _HEADROOM, 6))


def _joined(workers: float) -> int:
    """Reads of one lane that wait together for one of so many workers."""
    waiting = _REQUESTS / workers * _AT_ONCE * _READ_SECONDS / _LANES
    return max(1, min(_AT_ONCE, round(waiting)))


def filled(page: str, of: Measured) -> str:
    """The page with what stands between its marks written anew. ValueError without the marks."""
    written = {"one node": one_node(of), "the model": the_model(of)}
    page, count = _MARKED.subn(lambda found: f"{found[1]}{written[found[2]]}\n{found[3]}", page)
    if count != len(written):
        raise ValueError(f"{len(written)} pairs of marks are expected, and there are {count}")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the capacity model with the measured numbers.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md, instead")
    options = parser.parse_args()
    of = measured(read_results(options.results)) if options.results.exists() else BY_HAND
    if options.write:
        PAGE.write_text(filled(PAGE.read_text(), of))
    else:
        print(one_node(of), the_model(of), sep="\n\n")


if __name__ == "__main__":
    main()
