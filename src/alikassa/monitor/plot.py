"""A picture of one account's four numbers over time."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from alikassa.errors import ConfigurationError, InvalidInputError
from alikassa.monitor.snapshots import Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alikassa.monitor.snapshots import Snapshot

__all__ = ["draw", "parse_size"]

_DOTS_PER_INCH = 100
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


def draw(snapshots: Sequence[Snapshot], path: Path, size: tuple[int, int]) -> None:
    """Write a PNG: a line a bucket, in steps, since an amount stays until the next look; gaps where nothing was
    answered. InvalidInputError unless all answers are of one profile and currency."""
    told = [one for one in snapshots if one.figures is not None]
    if not told:
        raise InvalidInputError("There is nothing to draw in that time.", remedy="Give an earlier --since.")
    if len({(one.profile, one.figures.currency) for one in told if one.figures}) > 1:
        raise InvalidInputError("A picture is of one profile.", remedy="Name it: alikassa history PROFILE --png FILE")
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "A picture needs a package that is not installed (matplotlib).",
            remedy="Install it with: pip install 'alikassa[plots]'",
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / _DOTS_PER_INCH, size[1] / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _lines(axes, snapshots)
    _label(figure, axes, told[-1])
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror}.") from error


def _lines(axes: Any, snapshots: Sequence[Snapshot]) -> None:
    times = [one.at for one in snapshots]
    if times[-1] - times[0] < _SHORTEST:
        # The time axis of a single look would be years long.
        axes.set_xlim(times[-1] - _SHORTEST, times[-1] + _SHORTEST)
    for bucket, colour in _COLOURS.items():
        amounts = [None if one.figures is None else one.figures.of(bucket) for one in snapshots]
        # Floats from here on: these are pixels' heights and no longer money.
        heights = [float("nan") if amount is None else float(amount) for amount in amounts]
        axes.step(times, heights, where="post", color=colour, label=bucket.replace("_", " "), marker=".", markersize=3)


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
    axes.set_title(last.profile, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    # Above the lines, never over them.
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    figure.set_layout_engine("constrained")
