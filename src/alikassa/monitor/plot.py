"""A picture of one account's four numbers over time."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from alikassa.clock import moment_text
from alikassa.errors import ConfigurationError, InvalidInputError
from alikassa.monitor.snapshots import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from alikassa.monitor.snapshots import Snapshot

__all__ = ["draw", "parse_size"]

_DOTS_PER_INCH = 100
_MOST_MARKED = 100
# One object: it equals itself where it is compared by identity first, as in a tuple.
_NOT_TOLD = float("nan")
_SHORTEST = timedelta(minutes=10)
# Apart for the colour-blind, too.
_COLOURS = {
    Bucket.BALANCE: "#0072b2",
    Bucket.HOLD: "#e69f00",
    Bucket.ROLLING_RESERVE: "#009e73",
    Bucket.PENDING_PAYOUTS: "#cc79a7",
}


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, each from 300 to 5000."""
    match = re.fullmatch(r"([0-9]{3,4})x([0-9]{3,4})", text, re.ASCII)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(300 <= length <= 5000 for length in size):
        raise InvalidInputError(f"{text[:20]!r} is no size.", remedy="Write it as 1200x700, each from 300 to 5000.")
    return size


def draw(snapshots: Iterable[Snapshot], path: Path, size: tuple[int, int]) -> None:
    """Write a PNG: a line a bucket, in steps, since an amount stays until the next look; gaps where nothing was
    answered. InvalidInputError unless all answers are of one profile, account and currency."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "A picture needs a package that is not installed (matplotlib).",
            remedy="Install it with: pip install 'alikassa[plots]'",
        )
    points, last = _points(snapshots)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / _DOTS_PER_INCH, size[1] / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _lines(axes, points)
    _label(figure, axes, last)
    # The axis leaves out what its labels have in common, and sometimes the year.
    first, until = (f"{at:%Y-%m-%d %H:%M}" for at in (points[0][0], points[-1][0]))
    axes.set_title(f"{last.profile}, {first} to {until}", loc="left", fontsize="medium")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror}.") from error


_Point = tuple["datetime", "tuple[float, ...] | None"]


def _points(snapshots: Iterable[Snapshot]) -> tuple[list[_Point], Snapshot]:
    """The pixels' heights at their times, None for no answer, and the last answer. Of a stretch that is level its two
    ends stay: a year of looks has few others."""
    points: list[_Point] = []
    last: Snapshot | None = None
    for one in snapshots:
        if one.figures is not None:
            if last is not None:
                _check_alike(last, one)
            last = one
        heights = None if one.figures is None else tuple(_height(one.figures.of(bucket)) for bucket in _COLOURS)
        if len(points) > 1 and points[-1][1] == heights == points[-2][1]:
            points.pop()
        points.append((one.at, heights))
    if last is None:
        raise InvalidInputError("There is nothing to draw in that time.", remedy="Give an earlier --since.")
    return points, last


def _height(amount: Decimal | None) -> float:
    # A float from here on: it is a pixel's height and no longer money.
    return _NOT_TOLD if amount is None else float(amount)


def _check_alike(last: Snapshot, one: Snapshot) -> None:
    if one.profile != last.profile:
        raise InvalidInputError("A picture is of one profile.", remedy="Name it: alikassa history PROFILE --png FILE")
    if one.account != last.account or (one.figures and last.figures and one.figures.currency != last.figures.currency):
        raise InvalidInputError(
            f"A picture is of one account and currency, and {one.profile} has changed.",
            remedy=f"Draw what is after it: --since {moment_text(one.at)}",
        )


def _lines(axes: Any, points: Sequence[_Point]) -> None:
    times = [at for at, _ in points]
    if times[-1] - times[0] < _SHORTEST:
        # The time axis of a single look would be years long.
        axes.set_xlim(times[-1] - _SHORTEST, times[-1] + _SHORTEST)
    few = len(points) <= _MOST_MARKED
    style: dict[str, Any] = {"marker": ".", "markersize": 4} if few else {"linewidth": 1}
    for place, (bucket, colour) in enumerate(_COLOURS.items()):
        heights = [_NOT_TOLD if point is None else point[place] for _, point in points]
        label = bucket.replace("_", " ")
        axes.step(times, heights, where="post", color=colour, label=label, **style)


def _label(figure: Any, axes: Any, last: Snapshot) -> None:
    from datetime import UTC

    from matplotlib import dates
    from matplotlib.ticker import FuncFormatter

    # Any: they are not typed.
    untyped: Any = dates
    locator = untyped.AutoDateLocator(tz=UTC, minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=UTC))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: f"{height:,.10g}".replace(",", "\u202f")))
    axes.set_ylabel(last.figures.currency if last.figures else "")
    axes.set_xlabel("UTC")
    axes.grid(visible=True, alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    # Above the lines, never over them.
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    figure.set_layout_engine("constrained")
