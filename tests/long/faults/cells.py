"""What a fault did to requests, counted: all that is written to docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeVar

from long.faults.stand import GOOD, NO_ANSWER, NO_CONNECTION, Scraping, Stand, Told

__all__ = ["LOOK_SECONDS", "SCRAPE_SECONDS", "Cell", "Times", "cells_of"]

Some = TypeVar("Some", Told, Scraping)

#: What readiness finds may be 0.2 s old, and what a scrape asks of the database 2 s.
LOOK_SECONDS = 0.5
SCRAPE_SECONDS = 2.3


@dataclass(frozen=True)
class Times:
    """Of a fault: when it was about to begin, from when until when it was surely there, when it was over, and when all
    was well again."""

    begun: float
    there: float
    leaving: float
    ended: float
    well: float


@dataclass(frozen=True)
class Cell:
    """What a fault did to reads or postings. Seconds; `wrong` says what must not be."""

    #: From its beginning until all was well.
    statuses: dict[str, int]
    longest: float
    #: From the end of the fault to the first good answer to what was asked after it.
    recovered: float
    #: Of what was asked and answered while the fault was surely there.
    during: dict[str, int]
    ready_during: dict[str, int]
    #: Before the fault, and once all was well.
    ready_outside: dict[str, int]
    #: As `recovered`.
    ready_again: float
    #: What scrapes meanwhile said of the database, "0" or "1"; "none" of those that failed.
    up_during: dict[str, int]
    #: Under way when the fault began, and never answered.
    unanswered: int
    #: Commands that were repeated since it was not known whether they were booked, and had been.
    found_booked: int = 0
    #: Connections that were cut when the database had committed, and before whoever asked was told so.
    cut_after_commit: int = 0
    wrong: list[str] = field(default_factory=list)


def cells_of(stand: Stand, url: str, times: Times, *, met: bool, cut_after_commit: int = 0) -> dict[str, Cell]:
    """`met`: whoever asks whether it can book is told of the fault only when a command has met it."""
    looks = stand.ready
    read = _cell(stand.reads, looks["/readyz"], stand.scrapes, times)
    posting = _cell(stand.posts, looks["/operator/readyz"], stand.scrapes, times, met=met)
    return {
        "read": replace(read, wrong=stand.wrong_reads()[:5]),
        "posting": replace(
            posting,
            wrong=stand.wrong_posts(url)[:5],
            found_booked=len(stand.found_booked),
            cut_after_commit=cut_after_commit,
        ),
    }


def _cell(told: list[Told], looks: list[Told], scrapes: list[Scraping], times: Times, *, met: bool = False) -> Cell:
    recovered = _first_good(told, times.ended)
    again = times.ended + recovered
    bad = [one for one in told if one.ended >= times.begun and one.begun <= again and one.status not in GOOD]
    over = max([times.ended, *(one.ended for one in bad)])
    seen = [one for one in told if one.ended >= times.begun and one.begun <= over]
    since = (bad[0].ended if met and bad else times.there) + LOOK_SECONDS
    return Cell(
        statuses=_counted(seen),
        longest=round(max(one.ended - one.begun for one in seen), 2),
        recovered=round(recovered, 2),
        during=_counted(_within(told, since, times.leaving)),
        ready_during=_counted(_within(looks, since, times.leaving)),
        ready_outside=_counted(_outside(looks, times)),
        ready_again=round(_first_good(looks, times.ended), 2),
        up_during=_up(scrapes, times),
        unanswered=sum(one.status == NO_ANSWER and one.begun < times.there for one in seen),
    )


def _first_good(told: list[Told], since: float) -> float:
    """How long after it the first good answer came to what was asked since."""
    return next(one.ended for one in told if one.begun >= since and one.status in GOOD) - since


def _outside(told: list[Told], times: Times) -> list[Told]:
    """Answered before the fault, or asked when all was well again."""
    return [one for one in told if one.ended < times.begun or one.begun >= times.well]


def _within(told: list[Some], since: float, until: float) -> list[Some]:
    return [one for one in told if one.begun >= since and one.ended <= until]


def _up(scrapes: list[Scraping], times: Times) -> dict[str, int]:
    found = [one.found for one in _within(scrapes, times.there + SCRAPE_SECONDS, times.leaving)]
    return dict(Counter("none" if one is None else f"{one.of('database_up'):.0f}" for one in found).most_common())


def _counted(told: list[Told]) -> dict[str, int]:
    names = {NO_ANSWER: "no answer", NO_CONNECTION: "no connection", 201: "200"}
    return dict(Counter(names.get(one.status, str(one.status)) for one in told).most_common())
