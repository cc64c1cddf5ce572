"""`make soak`: ten minutes of mixed reads and writes at 70 % of what the server sustains, and nothing may grow.

    soak.py --engine sqlite --seconds 600

First the peaks of both are measured, each alone, then how much of half of either it sustains together: all answered,
and the slowest hundredth within 100 ms. Bookings that come one by one cost more than those that a commit takes
together, so that half and half of the peaks is more than it can do.

Balances are asked for and commands booked over HTTP, at steady rates, in slices of half a minute. For each slice: the
slowest hundredth of both, resident memory, open files. At the end everything that was acknowledged has to be in the
books once, each command under a reference of its own, and `books verify` has to be content. Exit code 1 when something
grew, was lost or refused, or when no load that was tried is sustained; then it also says which statements were slow,
and when. A run of fewer than five slices is too short to tell whether anything grows, and says so.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines import fill_sqlite, postgresql
from open_loop import Result, Step, run
from processes import clean_environment, free_port, progress, running, serve_command
from slow_statements import slow_statements
from soak_commands import Booked, Commands, count_booked, create_token, set_policies
from taken import memory_bytes, open_files
from workload import fill_books, make_shops, write_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE = 0.7
SLICE_SECONDS = 30
#: What it is tried with, from the top: shares of half of either peak.
_TRIED = tuple(number / 10 for number in range(10, 1, -1))
_TRY_SECONDS = 8
_SUSTAINED_MS = 100.0
ENGINES = ("sqlite", "postgresql")
#: What has settled by then: caches are full, plans are made.
_WARM_SLICES = 3
#: With fewer, beginning and end would be the same slice, and nothing could ever have grown.
_FEWEST_SLICES = _WARM_SLICES + 2
_MOST_SLOWER = 1.5
_MOST_MEMORY = 1.10
_MEMORY_SLACK = 16 * 2**20
_FILES_SLACK = 8
#: Sockets of a slow moment, which the clients close after it, are no leak: so long they have for it.
_CLOSING_SECONDS = 5.0
#: Statements that take so long are told when it is not well.
_SLOW_SECONDS = 0.1
#: Below this a slice's slowest hundredth says more about the machine than about us.
_FLOOR_MS = 25.0


@dataclass(frozen=True)
class Slice:
    """Half a minute of it. Memory in bytes, of all processes of the server."""

    reads: Result
    writes: Result
    memory: int
    files: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Mixed reads and writes at 70 % load; nothing may grow.")
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="alikassa-soak-", ignore_cleanup_errors=True) as folder:
        problems = soak(Path(folder), options.engine, options.seconds)
    for problem in problems:
        print(f"NOT AS IT SHOULD BE: {problem}")
    print(_verdict(problems, options.seconds // SLICE_SECONDS))
    sys.exit(bool(problems))


def _verdict(problems: Sequence[str], slices: int) -> str:
    if problems:
        return "not well"
    if slices < _FEWEST_SLICES:
        return (
            "the books are right; too short to tell whether anything grows"
            f" (that takes {_FEWEST_SLICES * SLICE_SECONDS} s)"
        )
    return "well: flat, and the books are right"


def soak(folder: Path, engine: str, seconds: int) -> list[str]:
    """What is not as it should be."""
    shops = make_shops(merchants=2, accounts_each=25)
    accounts = [str(stand.account) for shop in shops for stand in shop.stands]
    requests = folder / "requests.tsv"
    write_requests(requests, shops)
    port, operator_port = free_port(), free_port()
    with ExitStack() as stack:
        if engine == "sqlite":
            database = fill_sqlite(folder, shops)
        else:
            database = stack.enter_context(postgresql(folder / "postgresql"))
            asyncio.run(fill_books(database, shops))
        asyncio.run(set_policies(database, accounts))
        commands = Commands(asyncio.run(create_token(database)), accounts)
        command = serve_command(database, port, "--slow-query", str(_SLOW_SECONDS), operator_port=operator_port)
        pid = stack.enter_context(running("alikassa", command, port, folder / "server.log"))
        time.sleep(2)
        reads, writes = _peaks(port, operator_port, requests, commands)
        progress(f"{engine}: can do {reads:,.0f} balances/s, or {writes:,.0f} commands/s")
        load = Load(port, operator_port, requests, commands)
        sustained = _sustained(load, reads / 2, writes / 2)
        before = commands.acknowledged
        slices: list[Slice] = []
        if sustained is None:
            # Under a load that it does not sustain everything grows.
            problems = [f"not even {_TRIED[-1]:.0%} of half of either is answered within {_SUSTAINED_MS:.0f} ms"]
        else:
            reads, writes = sustained
            progress(f"{engine}: sustains {reads:,.0f} balances/s and {writes:,.0f} commands/s; {SHARE:.0%} of it now")
            for number in range(max(seconds // SLICE_SECONDS, 1)):
                answered = load.run(reads * SHARE, writes * SHARE, SLICE_SECONDS)
                one = Slice(*answered, memory_bytes(pid), _lasting_files(pid))
                slices.append(one)
                progress(_told(number, one))
            problems = _problems(slices)
        acknowledged = commands.acknowledged
        booked = asyncio.run(count_booked(database, commands.run))
        problems += _miscounted(acknowledged, commands.unknown, booked)
        counts = f"{acknowledged - before:,} commands in {len(slices) * SLICE_SECONDS} s"
        print(f"{engine}: {counts}; acknowledged {acknowledged:,}, in the books {booked.entries:,}")
        if "unexpected" in (folder / "server.log").read_text():
            problems.append("the server's log has an unexpected error")
        problems += _verified(database)
        if problems:
            print(*slow_statements((folder / "server.log").read_text().splitlines()), sep="\n")
    return problems


def _peaks(port: int, operator_port: int, requests: Path, commands: Commands) -> tuple[float, float]:
    """Answers a second when a few connections are always busy, of either kind alone."""
    run(port, requests, [Step(1000, 2)])
    reads = run(port, requests, [Step(100_000, 5)], connections=32, most=32, waiting=100).total.rate
    made = commands.make(20_000)
    found = run(operator_port, made, [Step(10_000, 5)], connections=64, most=64, waiting=100)
    commands.note(found)
    return reads, found.total.rate


@dataclass(frozen=True)
class Load:
    """Both kinds of requests, at their ports."""

    port: int
    operator_port: int
    requests: Path
    commands: Commands

    def run(self, reads: float, writes: float, seconds: float) -> tuple[Result, Result]:
        """So many a second of either, together: what came of balances, and of commands."""
        results: list[Result] = []

        def ask() -> None:
            results.append(run(self.port, self.requests, [Step(reads, seconds)], connections=32, seed=1))

        made = self.commands.make(int(writes * seconds * 1.2) + 100)
        thread = threading.Thread(target=ask)
        thread.start()
        booked = run(self.operator_port, made, [Step(writes, seconds)], connections=32, seed=2)
        thread.join()
        self.commands.note(booked)
        return results[0], booked


def _sustained(load: Load, reads: float, writes: float) -> tuple[float, float] | None:
    """The largest share of these rates that is answered quickly, as rates. None when none of those tried is."""
    for share in _TRIED:
        totals = [one.total for one in load.run(reads * share, writes * share, _TRY_SECONDS)]
        calm = all(one.ok == one.arrivals and one.ok_latency.p99_ms < _SUSTAINED_MS for one in totals)
        progress(
            f"{share:.0%} of half of either: p99 {totals[0].ok_latency.p99_ms:.1f} and"
            f" {totals[1].ok_latency.p99_ms:.1f} ms"
        )
        if calm:
            return reads * share, writes * share
    return None


def _lasting_files(pid: int) -> int:
    """Open files once those of the clients are closed, as far as they will be."""
    until = time.monotonic() + _CLOSING_SECONDS
    found = open_files(pid)
    while time.monotonic() < until:
        time.sleep(0.5)
        before, found = found, open_files(pid)
        if found == before:
            break
    return found


def _told(number: int, one: Slice) -> str:
    reads, writes = one.reads.total, one.writes.total
    return (
        f"{(number + 1) * SLICE_SECONDS:5} s  balances {reads.rate:8,.0f}/s p99 {reads.ok_latency.p99_ms:6.1f} ms"
        f"  commands {writes.rate:6,.0f}/s p99 {writes.ok_latency.p99_ms:6.1f} ms"
        f"  not answered {reads.failed + writes.failed + reads.refused + writes.refused}"
        f"  {one.memory / 2**20:,.0f} MiB  {one.files} files"
    )


def _problems(slices: Sequence[Slice]) -> list[str]:
    found = []
    for kind in ("reads", "writes"):
        totals = [getattr(one, kind).total for one in slices]
        lost = sum(one.failed + one.refused for one in totals)
        if lost:
            found.append(f"{lost:,} {kind} were refused or not answered")
    return found if len(slices) < _FEWEST_SLICES else found + _grown(slices)


def _grown(slices: Sequence[Slice]) -> list[str]:
    """What is more at the end than at the beginning."""
    found = []
    for kind in ("reads", "writes"):
        times = [getattr(one, kind).total.ok_latency.p99_ms for one in slices]
        early, late = (statistics.median(part) for part in _ends(times))
        if late > max(early * _MOST_SLOWER, _FLOOR_MS):
            found.append(f"the slowest hundredth of {kind} went from {early:.1f} to {late:.1f} ms")
    early, late = (statistics.median(part) for part in _ends([one.memory for one in slices]))
    if late > early * _MOST_MEMORY + _MEMORY_SLACK:
        found.append(f"memory went from {early / 2**20:.0f} to {late / 2**20:.0f} MiB")
    early, late = (max(part) for part in _ends([one.files for one in slices]))
    if late > early + _FILES_SLACK:
        found.append(f"open files went from {early} to {late}")
    return found


def _ends(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The third after it has warmed up, and the last third. They share no slice."""
    warm = values[_WARM_SLICES:]
    third = max(len(warm) // 3, 1)
    return warm[:third], warm[-third:]


def _miscounted(acknowledged: int, unknown: int, booked: Booked) -> list[str]:
    found = []
    # One without an answer may be booked or not; whoever sent it would find out by sending it again.
    if not acknowledged <= booked.references <= acknowledged + unknown:
        found.append(
            f"{acknowledged:,} commands were acknowledged, {unknown:,} unanswered;"
            f" in the books {booked.references:,} different ones"
        )
    if booked.entries != booked.references:
        found.append(f"{booked.entries - booked.references:,} commands are in the books twice")
    return found


def _verified(database: str) -> list[str]:
    command = [sys.executable, "-m", "alikassa", "books", "verify", "--database", database]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), check=False, timeout=600)
    print(done.stdout.strip() or done.stderr.strip())
    return [] if done.returncode == 0 else ["the books do not verify"]


if __name__ == "__main__":
    main()
