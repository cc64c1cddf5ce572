"""What a run found: rows of samples, how they compare, and whether that reaches the target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

__all__ = ["Comparison", "Row", "Section", "Target"]


@dataclass(frozen=True)
class Target:
    """What a ratio has to reach, or, when `below`, to stay under."""

    bound: float
    below: bool = False

    def is_met_by(self, ratio: float) -> bool:
        return ratio < self.bound if self.below else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<' if self.below else '>='} {self.bound:g}"


@dataclass(frozen=True)
class Comparison:
    """One row over another, measured beside it."""

    ratio: float
    to: str
    target: Target | None = None
    #: Whether the other one was measured too. A ratio to a fixed time tells of the machine, and stays on it.
    travels: bool = True
    #: Whether two runs of the same code agree on it. What does not is held to its target, not to what it was.
    steady: bool = True

    @property
    def met(self) -> bool | None:
        """None without a target."""
        return None if self.target is None else self.target.is_met_by(self.ratio)

    def __str__(self) -> str:
        # Cut, not rounded: 0.499 is not 0.50, nor is 1.301 1.30.
        digits = 2 if self.ratio < 10 else 1
        cut = int(self.ratio * 10**digits) / 10**digits
        return f"{cut:.{digits}f} x {self.to}"


@dataclass
class Row:
    """Something measured several times."""

    name: str
    samples: list[float]
    comparisons: tuple[Comparison, ...] = ()

    @property
    def median(self) -> float:
        return median(self.samples)

    def over(self, other: Row, target: Target | None = None, *, to: str = "", steady: bool = True) -> Comparison:
        """The median of what it is round by round: a machine that is slower for a while is so for both of a round.

        `to` is another name for the other row. ValueError when one has more rounds.
        """
        each = [ours / theirs for ours, theirs in zip(self.samples, other.samples, strict=True)]
        return Comparison(median(each), to or other.name, target, steady=steady)


@dataclass(frozen=True)
class Section:
    """Rows of one unit, under a heading. With `lower_is_better`, so it is with their ratios. `run.py --only PART`
    measures it."""

    heading: str
    rows: tuple[Row, ...]
    lower_is_better: bool = False
    part: str = ""
