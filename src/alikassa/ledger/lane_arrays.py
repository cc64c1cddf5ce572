"""Accounts as PostgreSQL takes many of them in one statement."""

from __future__ import annotations

from alikassa.ledger.waiting import LANE_OF_ENDING

__all__ = ["arrays_of"]

# The lane by the end of the account, as text.
_LANE_TEXT = {ending: str(lane) for ending, lane in LANE_OF_ENDING.items()}


def arrays_of(accounts: list[str]) -> tuple[str, str]:
    """Lanes and uuids as PostgreSQL writes arrays: the driver looks long at every element of a list."""
    lanes = [_LANE_TEXT[account[-2:]] for account in accounts]
    return f"{{{','.join(lanes)}}}", f"{{{','.join(accounts)}}}"
