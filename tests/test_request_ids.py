"""What the id of a refusal tells a stranger: when his request came, and nothing of what was done about it."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid

from alikassa.ledger.ids import QuickIds
from alikassa.server.balance import Asked


class _Headers:
    def __contains__(self, name: str, /) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str, /) -> list[str]:
        return []


def test_an_id_is_of_when_the_request_came() -> None:
    """However late it is made: reading one account takes longer than reading another."""
    before = time.time()
    asked = Asked(_Headers())
    after = time.time()
    time.sleep(0.05)
    made = (asked.correlation.id.int >> 80) / 1000
    assert before - 0.002 <= made <= after + 0.002


def test_quick_ids_are_uuids_in_the_order_of_time() -> None:
    """Different ones, of version 7, each of the millisecond in which it was made."""
    one, other = QuickIds(), QuickIds()
    before = time.time_ns() // 1_000_000
    texts = [one() for _ in range(20_000)]
    after = time.time_ns() // 1_000_000
    ids = [uuid.UUID(text) for text in texts]
    assert [str(id_) for id_ in ids] == texts
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, uuid.RFC_4122)}
    millis = [id_.int >> 80 for id_ in ids]
    assert before <= millis[0] <= millis[-1] <= after
    assert millis == sorted(millis)
    assert len({*texts, *(other() for _ in range(20_000))}) == 40_000


def test_a_fork_makes_other_ids() -> None:
    """Randomness that was fetched before it is not used twice."""
    program = """
import os
from datetime import UTC, datetime
from alikassa.ledger.ids import ordered_uuid

at = datetime(2026, 1, 1, tzinfo=UTC)
ordered_uuid(at)
child = os.fork()
os.write(1, str(ordered_uuid(at)).encode() + b" ")
if child:
    os.waitpid(child, 0)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len(set(told)) == len(told) == 2
