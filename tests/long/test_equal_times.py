"""The uniform answer takes the same time whatever its cause: a stranger learns nothing by the clock either."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from statistics import NormalDist

import pytest

from conftest import Shop, cli_json, run_cli, start_server
from raw_http import PATH, balance_headers

SAMPLES = 1000
# Told apart when such a difference, or a larger one, is so improbable by chance. Fifteen comparisons are made on either
# engine.
IMPROBABLE = 0.001


def test_causes_cannot_be_told_apart_by_time(
    tmp_path: Path, shop: Shop, archives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """1,000 unknown accounts, wrong keys, payment certificates and revoked ones, in an order of chance: by the
    Mann-Whitney test no two of them differ, on either engine."""
    wrong, strange = archives("stranger"), uuid.uuid4()
    cases = {
        "unknown account": lambda: balance_headers(archives("payout"), account=str(uuid.uuid4())),
        "unknown account, named before": lambda: balance_headers(archives("payout"), account=str(strange)),
        "unknown account, wrong key": lambda: balance_headers(wrong, account=str(uuid.uuid4())),
        "wrong key": lambda: balance_headers(wrong),
        "payment certificate": lambda: balance_headers(archives("payment")),
        "revoked certificate": lambda: balance_headers(archives("revoked")),
    }
    _register_and_revoke(shop, archives("revoked"))
    server = start_server(tmp_path, shop.database)
    try:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        times: dict[str, list[float]] = {name: [] for name in cases}
        order = [name for name in cases for _ in range(SAMPLES + 50)]
        random.Random(7).shuffle(order)  # noqa: S311 - an order
        # Made before: what whoever asks has done just before it asks would be in its times.
        asked = [(name, {key: str(value) for key, value in cases[name]().items()}) for name in order]
        bodies = set()
        for name, headers in asked:
            start = time.perf_counter_ns()
            connection.request("POST", PATH, body=b"{}", headers=headers)
            answer = connection.getresponse()
            bodies.add(answer.read())
            times[name].append(time.perf_counter_ns() - start)
            assert answer.status == 400
        connection.close()
        assert len(bodies) == 1
    finally:
        server.stop()
    told = []
    for one, other in itertools.combinations(times, 2):
        likely = mann_whitney(times[one][50:], times[other][50:])
        told.append(f"{one} / {other}: p = {likely:.3f}")
        assert likely > IMPROBABLE, told[-1]
    with capsys.disabled():
        print("\n" + "\n".join(told))


def mann_whitney(one: list[float], other: list[float]) -> float:
    """How likely two samples of one distribution differ so much in rank: two-sided, by the normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    total, place = 0.0, 0
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        # Equal values share the middle of their ranks.
        total += (place + 1 + end) / 2 * sum(1 for _, group in ranked[place:end] if group == 0)
        place = end
    n, m = len(one), len(other)
    u = total - n * (n + 1) / 2
    deviation = (u - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
    return 2 * (1 - NormalDist().cdf(abs(deviation)))


def test_the_test_itself() -> None:
    """It finds a difference that there is, and none where there is none."""
    chance = random.Random(1)  # noqa: S311 - a sample
    same = [[chance.gauss(100, 10) for _ in range(SAMPLES)] for _ in range(2)]
    later = [value + 2 for value in same[1]]
    assert mann_whitney(*same) > IMPROBABLE
    assert mann_whitney(same[0], later) < IMPROBABLE


def _register_and_revoke(shop: Shop, archive: Path) -> None:
    added = cli_json(
        *("certificate", "add", "--database", shop.database, "--merchant", shop.merchant, "--purpose", "payout"),
        archive / "public.pem",
    )
    assert run_cli("certificate", "revoke", added["certificate"], "--database", shop.database).returncode == 0
