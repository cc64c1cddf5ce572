"""Who is told what the monitor sees and does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from alikassa.monitor.decisions import Alert
    from alikassa.monitor.snapshots import Snapshot

__all__ = ["Listener"]


def _nothing(_: object) -> None:
    """For who does not listen."""


@dataclass(frozen=True)
class Listener:
    """Who is told of each snapshot, of each alert, and of what goes wrong beside the looks: an alert that could not be
    delivered, a history that cannot be written."""

    snapshot: Callable[[Snapshot], object]
    alert: Callable[[Alert], object] = _nothing
    problem: Callable[[str], object] = _nothing
