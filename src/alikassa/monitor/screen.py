"""What `watch` draws: a table of accounts, and how old each number is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from textwrap import wrap
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
_HEADINGS = ("account", "", *Bucket, "change", "trend", "age")
_MOST_ALERTS = 5
# Its name, the four numbers, the change.
_BLOCK_LINES = 6


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
        self._notes: deque[tuple[datetime, str]] = deque(maxlen=_MOST_ALERTS)

    def tell(self, snapshot: Snapshot) -> None:
        row = self._rows[snapshot.profile]
        row.latest = snapshot
        if snapshot.figures is None:
            return
        balance = snapshot.figures.balance
        before = None if row.answered is None else row.answered.figures
        if before is not None and before.currency != snapshot.figures.currency:
            # Amounts of two currencies do not compare.
            row.change = None
            row.balances.clear()
        elif before is not None:
            row.change = difference(balance, before.balance)
        row.answered = snapshot
        row.balances.append(balance)

    def note(self, text: str, at: datetime) -> None:
        """A line under the table, with its age; the last few stay, of equal ones the last."""
        for kept in [one for one in self._notes if one[1] == text]:
            self._notes.remove(kept)
        self._notes.append((at, text))

    def draw(self, now: datetime, width: int, height: int | None = None) -> Group:
        """Amounts are never cut: on a narrow screen an account is a block of lines instead of a row.

        What is wrong is always seen: where the screen is too low for all blocks (`height` lines) an account is a line
        with its balance, and where it is too low for all accounts some are left out, and their number is told. Those
        with something wrong come first then.
        """
        from rich.console import Group
        from rich.text import Text

        warnings = self._warnings(now)
        notes = [f"{age_text(now - at)} ago: {text}" for at, text in self._notes]
        texts = [*warnings.values(), *notes]
        profiles, left_out, room = list(self._rows), 0, None
        if height is not None:
            texts = [_short(text, 2 * width) for text in _most_important(list(warnings.values()), notes, height // 4)]
            room = max(height - sum(len(wrap(text, width)) for text in texts) - 1, 1)
        if width >= self._needed(now):
            draw, fitting = self._table, None if room is None else max(room - 4, 1)
        elif room is None or len(profiles) * _BLOCK_LINES <= room:
            draw, fitting = self._blocks, None
        else:
            draw, fitting = self._lines, room
        if fitting is not None and len(profiles) > fitting:
            left_out = len(profiles) - fitting
            profiles = [*warnings, *(name for name in profiles if name not in warnings)][:fitting]
        more = [Text(f"and {left_out} more, for which the screen is too low")] if left_out else []
        # Text, not markup: a server's words are not to be obeyed.
        return Group(draw(now, profiles), *more, *(Text(text, style="yellow") for text in texts))

    def _needed(self, now: datetime) -> int:
        """Columns of the table's widest cells and headings' words; room for a change and an age that will come."""
        cells = [[profile, *self._cells(row, now)] for profile, row in self._rows.items()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        words = [max(map(len, name.split("_"))) for name in _HEADINGS]
        least = {"change": max(widths[2:6]), "trend": KEPT, "age": len("59 min")}
        return sum(
            max(width, word, least.get(name, 0)) + 2 for width, word, name in zip(widths, words, _HEADINGS, strict=True)
        )

    def _table(self, now: datetime, profiles: Sequence[str]) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for name in _HEADINGS:
            table.add_column(name.replace("_", " "), justify="right" if name in {*Bucket, "change", "age"} else "left")
        for profile in profiles:
            table.add_row(profile, *self._cells(self._rows[profile], now))
        return table

    def _blocks(self, now: datetime, profiles: Sequence[str]) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(overflow="fold")
        table.add_column(justify="right", overflow="fold")
        for profile in profiles:
            currency, *amounts, change, trend, age = self._cells(self._rows[profile], now)
            table.add_row(profile, f"{currency} {trend} {age}".strip())
            for name, amount in zip((*Bucket, "change"), (*amounts, change), strict=True):
                table.add_row(f"  {name.replace('_', ' ')}", amount)
        return table

    def _lines(self, now: datetime, profiles: Sequence[str]) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        for side in ("left", "right", "left", "right"):
            table.add_column(justify="right" if side == "right" else "left", overflow="fold")
        for profile in profiles:
            currency, balance, *_, age = self._cells(self._rows[profile], now)
            table.add_row(profile, balance, currency, age)
        return table

    def _cells(self, row: _Row, now: datetime) -> list[str]:
        if row.answered is None or row.answered.figures is None:
            return ["", *("-" for _ in Bucket), "", "", "never" if row.latest else "..."]
        figures = row.answered.figures
        change = "" if not row.change else format(row.change, "+f")
        amounts = [amount_text(figures.of(bucket)) or "not told" for bucket in Bucket]
        return [figures.currency, *amounts, change, sparkline(row.balances), age_text(now - row.answered.at)]

    def _warnings(self, now: datetime) -> dict[str, str]:
        lines, late = dict[str, str](), dict[str, str]()
        for profile, row in self._rows.items():
            latest = row.latest
            since = None if row.answered is None else age_text(now - row.answered.at)
            if latest is not None and latest.failure is not None:
                gone = "no answer yet" if since is None else f"no answer for {since}"
                lines[profile] = f"{profile}: {gone}: {latest.failure.text}"
            elif row.answered is not None and now - row.answered.at > self._stale:
                late[profile] = f"{profile}: no answer for {since}: still asking"
        return lines | late


def _most_important(warnings: list[str], notes: list[str], most: int) -> list[str]:
    """So many lines at most, two at least: the latest notes have half of them, where there are so many."""
    notes = notes[-max(most // 2, 1) :]
    room = max(most - len(notes), 1)
    if len(warnings) > room:
        left_out = len(warnings) - room + 1
        warnings = [*warnings[: room - 1], f"no answer from {left_out} {'more' if room > 1 else 'accounts'}"]
    return [*warnings, *notes]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
