"""What a process has read and booked since it started, as plain counts in memory: for whoever shows them."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from alikassa.ledger.asking import Asker
    from alikassa.ledger.batch import Job
    from alikassa.ledger.model import Booked, JournalEntry, Kind

__all__ = ["LOOKING_ON", "WIDTH", "BookCounts", "ReadCounts", "Spread", "Told", "name_of", "told_of"]

#: Powers of two that are told apart: whatever is counted lies below the last, microseconds of many years too.
WIDTH = 64

_LOG = logging.getLogger(__name__)

#: What became of a command: its kind, and a word from a closed set.
Told = tuple["Kind", str]


class Spread:
    """How many values lie below each power of two (`buckets[k]`: at most 2**k), and their sum."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * WIDTH
        self.total = 0.0

    def add(self, number: int) -> None:
        """A whole number, 1 or more."""
        self.buckets[(number - 1).bit_length()] += 1
        self.total += number

    def add_seconds(self, seconds: float) -> None:
        """A duration: its buckets are powers of two microseconds, its sum is in seconds."""
        self.buckets[int(seconds * 1e6).bit_length()] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        return sum(self.buckets)


class _LookingOn:
    """Around the telling of a watch: what goes wrong with it is logged, and ends nobody's read or batch."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        _LOG.error("A watch of the books failed.", exc_info=error)
        return True


LOOKING_ON = _LookingOn()


class ReadWatch(Protocol):
    """Is told of joined reads."""

    def ended(self, askers: Sequence[Asker], begun: float, rows: int | None, error: Exception | None) -> None:
        """One has ended, which began then by the monotonic clock. `rows`: the accounts it found, unless it failed."""
        ...


class ReadCounts:
    """Joined reads: how many requests each served, how long it took, and the errors of those that failed; how many
    requests were turned away because too many waited, or for too long.

    Where there are replicas, also how many accounts were read where: see `replicas.reader.Source`. `watches` are told
    of each read.
    """

    __slots__ = ("failures", "seconds", "sizes", "sources", "turned_away", "watches")

    def __init__(self) -> None:
        self.sizes = Spread()
        self.seconds = Spread()
        self.failures: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.turned_away = 0
        self.watches: tuple[ReadWatch, ...] = ()

    def served(self, requests: int, seconds: float) -> None:
        """One read, for so many. As two `Spread.add`, in one call: at little load there is a read a request."""
        sizes, times = self.sizes, self.seconds
        sizes.buckets[(requests - 1).bit_length()] += 1
        sizes.total += requests
        times.buckets[int(seconds * 1e6).bit_length()] += 1
        times.total += seconds


class BatchWatch(Protocol):
    """Is told of batches."""

    def taken(self, jobs: Sequence[Job]) -> None:
        """These wait no more."""
        ...

    def batch(self, jobs: Sequence[Job], begun: float, marks: Sequence[float], error: BaseException | None) -> None:
        """One was committed or failed. `begun` and `marks`, when its steps ended, are by the monotonic clock."""
        ...


class BookCounts:
    """The writer's work: commands by kind and what became of them, entries by kind, batches. `watches` are told of each
    batch."""

    __slots__ = ("again", "commands", "commit_seconds", "entries", "failures", "seconds", "sizes", "watches")

    def __init__(self) -> None:
        self.commands: Counter[Told] = Counter()
        self.entries: Counter[Kind] = Counter()
        #: Commands of each batch that was committed, how long it took altogether, and its commit alone.
        self.sizes = Spread()
        self.seconds = Spread()
        self.commit_seconds = Spread()
        #: Batches that were tried again, and the errors of those that were given up.
        self.again = 0
        self.failures: Counter[str] = Counter()
        self.watches: tuple[BatchWatch, ...] = ()

    def failed(self, kinds: Iterable[Kind], error: Exception) -> None:
        """A batch that was given up."""
        self.failures[name_of(error)] += 1
        self.turned_away(kinds, error)

    def turned_away(self, kinds: Iterable[Kind], error: Exception) -> None:
        """Commands that nothing was decided about."""
        self.commands.update((kind, name_of(error)) for kind in kinds)

    def committed(self, told: Sequence[Told], entries: Iterable[JournalEntry], begun: float, committing: float) -> None:
        """A batch. Times are `time.monotonic()`'s: when it began, and when its commit did."""
        now = time.monotonic()
        self.commands.update(told)
        self.entries.update(entry.kind for entry in entries)
        if told:
            self.sizes.add(len(told))
        self.seconds.add_seconds(now - begun)
        self.commit_seconds.add_seconds(now - committing)


def told_of(kinds: Iterable[Kind], outcomes: Sequence[Booked | Exception]) -> list[Told]:
    """Of commands that are booked together or not at all: with a refused one, the others are left undone."""
    undone = any(isinstance(outcome, Exception) for outcome in outcomes)
    return [(kind, _word(outcome, undone=undone)) for kind, outcome in zip(kinds, outcomes, strict=True)]


def _word(outcome: Booked | Exception, *, undone: bool) -> str:
    if isinstance(outcome, Exception):
        return name_of(outcome)
    return "undone" if undone else "repeated" if outcome.repeated else "booked"


def name_of(error: BaseException) -> str:
    """An error's name as a label: `insufficient_funds` for InsufficientFundsError."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
