"""What `watch` draws: a table of accounts, and how old each number is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from alikassa.monitor.durations import age_text
from alikassa.monitor.snapshots import Bucket, amount_text, difference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from rich.console import Group
    from rich.table import Table

    from alikassa.monitor.snapshots import Snapshot

__all__ = ["KEPT", "Board", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
#: How many looks a trend shows.
KEPT = 12
_MOST_ALERTS = 5


def sparkline(values: Sequence[Decimal]) -> str:
    """One block a value, from the lowest to the highest of them. All alike: all low."""
    if not values:
        return ""
    lowest = min(values)
    spread = difference(max(values), lowest)
    if not spread:
        return _BLOCKS[0] * len(values)
    return "".join(_BLOCKS[int(difference(value, lowest) * (len(_BLOCKS) - 1) / spread)] for value in values)


@dataclass
class _Row:
    answered: Snapshot | None = None
    change: Decimal | None = None
    latest: Snapshot | None = None
    balances: deque[Decimal] = field(default_factory=lambda: deque(maxlen=KEPT))


class Board:
    """The latest of each profile. `tell` it what was seen, `draw` it as often as wanted."""

    def __init__(self, profiles: Sequence[str], every: timedelta) -> None:
        self._rows = {profile: _Row() for profile in profiles}
        self._stale = every * 2 + timedelta(seconds=5)
        self._notes: deque[str] = deque(maxlen=_MOST_ALERTS)

    def tell(self, snapshot: Snapshot) -> None:
        row = self._rows[snapshot.profile]
        row.latest = snapshot
        if snapshot.figures is None:
            return
        balance = snapshot.figures.balance
        if row.answered is not None and row.answered.figures is not None:
            row.change = difference(balance, row.answered.figures.balance)
        row.answered = snapshot
        row.balances.append(balance)

    def note(self, text: str) -> None:
        """A line under the table; the last few stay."""
        self._notes.append(text)

    def draw(self, now: datetime, width: int) -> Group:
        """Amounts are never cut: on a narrow screen an account is a block of lines instead of a row."""
        from rich.console import Group
        from rich.text import Text

        table = self._table(now) if width >= self._needed() else self._blocks(now)
        # Text, not markup: a server's words are not to be obeyed.
        notes = [Text(text, style="yellow") for text in (*self._warnings(now), *self._notes)]
        return Group(table, *notes)

    def _needed(self) -> int:
        cells = [
            len(amount_text(row.answered.figures.of(bucket)) or "not told")
            for row in self._rows.values()
            if row.answered is not None and row.answered.figures is not None
            for bucket in Bucket
        ]
        return 4 * (max(cells, default=15) + 2) + max(map(len, self._rows)) + 50

    def _table(self, now: datetime) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for name in ("account", "", *Bucket, "change", "trend", "age"):
            table.add_column(name.replace("_", " "), justify="right" if name in {*Bucket, "change", "age"} else "left")
        for profile, row in self._rows.items():
            table.add_row(profile, *self._cells(row, now))
        return table

    def _blocks(self, now: datetime) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for profile, row in self._rows.items():
            currency, *amounts, change, trend, age = self._cells(row, now)
            table.add_row(profile, f"{currency} {trend} {age}".strip())
            for name, amount in zip((*Bucket, "change"), (*amounts, change), strict=True):
                table.add_row(f"  {name.replace('_', ' ')}", amount)
        return table

    def _cells(self, row: _Row, now: datetime) -> list[str]:
        if row.answered is None or row.answered.figures is None:
            return ["", *("-" for _ in Bucket), "", "", "never" if row.latest else "..."]
        figures = row.answered.figures
        change = "" if not row.change else format(row.change, "+f")
        amounts = [amount_text(figures.of(bucket)) or "not told" for bucket in Bucket]
        return [figures.currency, *amounts, change, sparkline(row.balances), age_text(now - row.answered.at)]

    def _warnings(self, now: datetime) -> list[str]:
        lines = []
        for profile, row in self._rows.items():
            latest = row.latest
            since = None if row.answered is None else age_text(now - row.answered.at)
            if latest is not None and latest.failure is not None:
                gone = "no answer yet" if since is None else f"no answer for {since}"
                lines.append(f"{profile}: {gone}: {latest.failure.text}")
            elif row.answered is not None and now - row.answered.at > self._stale:
                lines.append(f"{profile}: no answer for {since}: still asking")
        return lines
