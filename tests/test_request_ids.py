"""What the id of a refusal tells a stranger: when his request came, and nothing of what was done about it."""

from __future__ import annotations

import time

from alikassa.server.balance import Asked


class _Headers:
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
