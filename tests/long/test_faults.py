"""Faults of the database under steady requests: balances are true or 503, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from conftest import make_shop
from long.faults import made
from long.faults.on_postgresql import postgresql
from long.faults.on_sqlite import sqlite
from long.faults.stand import Cell, Stand, cells_of
from operator_server import operator_served

#: How long a fault lasts at least, and how long it goes on afterwards.
SECONDS = 4.0
AFTERWARDS = 1.0
#: Where what was seen is left for `make reliability`.
SEEN = os.environ.get("ALIKASSA_RELIABILITY", "")

ENGINES = {"sqlite": sqlite, "postgresql": postgresql}
CELLS = [(engine, fault) for engine in ENGINES for fault in made.FAULTS]
#: Reads go on through these, whatever becomes of postings.
_READABLE = {"read_only", "full"}


@pytest.mark.parametrize(("engine", "fault"), CELLS, ids=lambda value: value)
def test_a_fault_costs_time_and_nothing_else(engine: str, fault: str, archives: Callable[[str], Path]) -> None:
    """Each 200 was true at some moment of its request, every acknowledged command is booked once, and so is every
    unknown one that was repeated; afterwards everything is well again by itself."""
    if (engine, fault) == ("sqlite", "silent"):
        pytest.skip("a file has no line that could fall silent")
    with tempfile.TemporaryDirectory(prefix=f"{engine}-", suffix=f"-{fault}") as name:
        cells, log, version = _run(engine, fault, Path(name), archives)
    if SEEN:
        _keep(Path(SEEN), engine, fault, cells, version)
    read, posting = cells["read"], cells["posting"]
    assert (read.wrong, posting.wrong) == ([], []), log
    assert read.statuses.keys() <= {"200", "503", "no answer"}
    assert max(read.recovered, posting.recovered) < 15
    assert read.longest < 15
    if fault in _READABLE and engine == "postgresql":
        assert read.statuses.keys() == {"200"}
    assert log.count('"event": "database"') < 60, "the log is not flooded"


def _run(engine: str, fault: str, folder: Path, archives: Callable[[str], Path]) -> tuple[dict[str, Cell], str, str]:
    with ENGINES[engine](folder) as place:
        shop = make_shop(place.own_url, archives("payout"), archives("payment"))
        with operator_served(folder, place.url) as served:
            stand = Stand(shop, served)
            with stand.running():
                begun = time.monotonic()
                with place.faults[fault](served):
                    time.sleep(SECONDS)
                ended = time.monotonic()
                try:
                    stand.wait_for_more()
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{served.server.log()[-5000:]}") from None
                time.sleep(AFTERWARDS)
            return cells_of(stand, place.own_url, begun, ended), served.server.log(), place.version


def _keep(folder: Path, engine: str, fault: str, cells: dict[str, Cell], version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{engine}.version").write_text(version)
    for kind, cell in cells.items():
        (folder / f"{engine}.{fault}.{kind}.json").write_text(json.dumps(msgspec.to_builtins(cell)))
