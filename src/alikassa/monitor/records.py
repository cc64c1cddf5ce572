"""A snapshot as a line of JSON or a row of CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.clock import moment_text
from alikassa.monitor.snapshots import Bucket, amount_text

if TYPE_CHECKING:
    from alikassa.monitor.snapshots import Snapshot

__all__ = ["COLUMNS", "record"]

COLUMNS = ("at", "profile", "account", "currency", *map(str, Bucket), "seconds", "failure", "failure_text")


def record(snapshot: Snapshot) -> dict[str, object]:
    """By the names in COLUMNS. Amounts are text, exactly as told; what is not there is None."""
    figures, failure = snapshot.figures, snapshot.failure
    amounts = {str(bucket): None if figures is None else amount_text(figures.of(bucket)) for bucket in Bucket}
    return {
        "at": moment_text(snapshot.at),
        "profile": snapshot.profile,
        "account": snapshot.account,
        "currency": None if figures is None else figures.currency,
        **amounts,
        "seconds": round(snapshot.seconds, 3),
        "failure": None if failure is None else str(failure.kind),
        "failure_text": None if failure is None else failure.text,
    }
