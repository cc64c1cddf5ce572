"""Small pictures of numbers over time. Exact amounts become places on a drawing here, and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Sparkline", "sparkline"]

_WIDTH, _HEIGHT, _MARGIN = 100, 20, 1


class Sparkline(msgspec.Struct, frozen=True):
    """An SVG polyline's points in a box of 100 by 20, and where zero lies in it."""

    points: str
    zero: str


def sparkline(amounts: Sequence[int]) -> Sparkline:
    """Zero is always in the box: a line's height says how much there is, not only how it changed."""
    low, high = min(0, *amounts), max(0, *amounts)
    span = high - low or 1

    def y(amount: int) -> str:
        return f"{_MARGIN + (_HEIGHT - 2 * _MARGIN) * (high - amount) / span:.2f}"

    step = _WIDTH / max(len(amounts) - 1, 1)
    return Sparkline(" ".join(f"{n * step:.2f},{y(amount)}" for n, amount in enumerate(amounts)), y(0))
