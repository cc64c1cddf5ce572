"""docs/scaling.md says what was measured, and the capacity model what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from capacity import BY_HAND, PAGE, RESULTS, Measured, filled, measured, the_model
from results import Row, Section
from written import read_results, write_results

from alikassa.server import verification

# Twice as fast as by hand, and payments half as fast.
OTHER = Measured(48_210, 34_190, 20_040, 4_120, "Elsewhere")


def test_the_page_has_the_numbers_of_the_results() -> None:
    """`make capacity` would change nothing."""
    of = measured(read_results(RESULTS)) if RESULTS.exists() else BY_HAND
    page = PAGE.read_text()
    assert filled(page, of) == page, "run `make capacity`"


def test_the_model_follows_from_what_was_measured() -> None:
    """Worked out on paper for other numbers than the page's."""
    model = " ".join(the_model(OTHER).split())
    # w = 20,000: 5 cores, twice that is 10. r = 10,000, r t / 8 = 6.25; with five workers 12.5, but eight is the most.
    assert "`R / w` = 5.0 cores, with headroom **10**: 3 machines with four" in model
    assert "With 10 workers `r` = 10,000 and 6 are joined, with half as many 8" in model
    # a = 6,000: 100,000 / 6,000 = 16.7, twice that 33.3; half as many again, 51.
    assert "`R / a` = 16.7 cores at eight joined, with headroom **34**" in model
    assert "count half as many cores again, 51" in model
    # p = 4,120 / 2 = 2,100 (two digits): 8,300 / 2,100 = 3.95, twice that 7.9.
    assert "`P / p` = 4.0 cores, with headroom **8**" in model
    # 34 + 8 and 51 + 8, in machines of eight.
    assert "42-59 cores: 6 to 8 workers of eight cores" in model
    assert "64 lanes on 8 nodes are 8 each" in model


def test_the_model_says_what_a_worker_remembers() -> None:
    """As many signatures and keys as the server keeps."""
    kept = f"a worker remembers {verification._MOST_KNOWN:,} signatures, and {verification._MOST_KEYS:,} keys"
    assert kept in " ".join(the_model(OTHER).split())


def test_the_page_is_filled_from_a_run(tmp_path: Path) -> None:
    """What a run has written is found again, by the names that its rows have."""
    from worker_rows import ANEW

    sections = [
        Section(
            "Balance requests/s (1,000 accounts)",
            (Row("alikassa, SQLite", [48_210]), Row("alikassa, PostgreSQL", [34_190])),
        ),
        Section("One worker and two, balance requests/s", (Row(f"alikassa, PostgreSQL, 1 worker, {ANEW}", [20_040]),)),
        Section("Payments/s, 256 waiting", (Row("alikassa, PostgreSQL, 1,000 accounts, 10^6 entries", [4_120]),)),
    ]
    write_results(tmp_path, sections, {})
    of = measured(read_results(tmp_path / "results.json"))
    assert (of.sqlite, of.postgresql, of.anew, of.payments) == (48_210, 34_190, 20_040, 4_120)
    page = filled(PAGE.read_text(), of)
    assert "one worker was measured at 48,200 balance" in page
    assert "`R / w` = 5.0 cores" in page
    with pytest.raises(ValueError, match="2 pairs of marks are expected, and there are 0"):
        filled("# Another page", of)
