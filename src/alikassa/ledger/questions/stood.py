"""What accounts stood at after an entry, or at a moment, as booked: from the nearest snapshot, whatever came before.

Many at once: a page's lines, or the days of a chart, cost a few statements together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alikassa.errors import InvariantError
from alikassa.ledger.bulk import columns_of, find_rows, units
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import BUCKETS, Bucket
from alikassa.ledger.questions.sums import packed_sums, unpacked
from alikassa.ledger.questions.wanted import ask
from alikassa.ledger.schema import journal_entries

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.model import Account
    from alikassa.ledger.questions.wanted import Wanted

__all__ = ["Buckets", "Point", "last_entries_before", "stood_after"]

Buckets = dict[Bucket, int]

_NUMBER = columns_of(journal_entries, "lane", "account_id", "sequence")
#: Points that one statement names: on SQLite it may have some 32,000 values.
_TOGETHER = 4000
_AMOUNTS = ", ".join(f"{{0}}.{bucket}" for bucket in BUCKETS)
_CASES = [f"p.bucket = '{bucket}'" for bucket in BUCKETS]


class Point(NamedTuple):
    """An entry of an account, by its number; 0 for before the first."""

    account: uuid.UUID
    sequence: int


async def last_entries_before(connection: AsyncConnection, wanted: Sequence[tuple[Account, datetime]]) -> list[Point]:
    """Each account's last entry that was recorded before the moment.

    The last snapshot before it is found by its index; from there on, as many entries are looked at as lie between two
    snapshots. InvariantError when the journal has a gap there.
    """
    found: dict[tuple[uuid.UUID, datetime], int] = {}
    asked = list({(one.id, at): None for one, at in wanted if one.recorded_at is not None and one.recorded_at >= at})
    for start in range(0, len(asked), _TOGETHER):
        part = asked[start : start + _TOGETHER]
        rows = [(n, lane_of(account), account, at) for n, (account, at) in enumerate(part)]
        for number, sequence in await ask(connection, _next_entry, rows):
            found[part[number]] = sequence - 1
    await _see_no_gap(connection, {Point(account, last) for (account, _), last in found.items() if last})
    return [Point(one.id, found.get((one.id, at), one.sequence)) for one, at in wanted]


def _next_entry(given: Wanted) -> str:
    """From the last snapshot before the moment on, the first entry that was not recorded before it."""
    return (
        f"SELECT u.c0, (SELECT e.sequence FROM journal_entries e WHERE e.lane = {given.lane} AND e.account_id = u.c2"  # noqa: S608
        " AND e.sequence > u.after AND e.recorded_at >= u.c3 ORDER BY e.sequence LIMIT 1) FROM"
        " (SELECT u.c0, u.c1, u.c2, u.c3, coalesce((SELECT s.sequence FROM balance_snapshots s"
        f" WHERE s.lane = {given.lane} AND s.account_id = u.c2 AND s.recorded_at < u.c3"
        f" ORDER BY s.recorded_at DESC LIMIT 1), 0) AS after FROM {given.table}) AS u"
    )


async def _see_no_gap(connection: AsyncConnection, points: Collection[Point]) -> None:
    keys = [(lane_of(one.account), *one) for one in points]
    there = {(str(row[0]), row[1]) for row in await find_rows(connection, _NUMBER, keys, "t.account_id, t.sequence")}
    for one in points:
        if (str(one.account), one.sequence) not in there:
            raise InvariantError(
                f"Account {one.account} has no entry {one.sequence}.", remedy="Run: alikassa books verify"
            )


async def stood_after(
    connection: AsyncConnection, accounts: Iterable[Account], wanted: Iterable[Point]
) -> dict[Point, Buckets]:
    """What the buckets of these accounts stood at after each entry; none may lie past its account's last.

    From a snapshot on either side, or the account as it stands: what is nearer.
    """
    points = sorted(set(wanted))
    present = {one.id: one for one in accounts}
    known: dict[Point, Buckets] = {}
    for start in range(0, len(points), _TOGETHER):
        part = points[start : start + _TOGETHER]
        spans: list[_Span] = []
        before: Point | None = None
        for point, below, above in await _snapshots(connection, present, part):
            if before is not None and before > below.point:
                # Not known yet, but by the time that this one's turn comes.
                below = _Known(before, known[before])
            spans.append(_Span(point, below, above))
            known[point] = {}
            before = point
        for span, moved in zip(spans, await _moved(connection, spans), strict=True):
            known[span.point].update(span.buckets(moved))
    return known


class _Known(NamedTuple):
    """A point, and what the buckets stood at there."""

    point: Point
    buckets: Buckets


class _Span(NamedTuple):
    """The way to a point from what is known below or above it, whichever is nearer."""

    point: Point
    below: _Known
    above: _Known

    @property
    def is_upwards(self) -> bool:
        number = self.point.sequence
        return number - self.below.point.sequence <= self.above.point.sequence - number

    @property
    def entries(self) -> tuple[int, int]:
        """After the first, up to the second."""
        number = self.point.sequence
        return (self.below.point.sequence, number) if self.is_upwards else (number, self.above.point.sequence)

    def buckets(self, moved: Buckets) -> Buckets:
        start, sign = (self.below, 1) if self.is_upwards else (self.above, -1)
        return {bucket: amount + sign * moved.get(bucket, 0) for bucket, amount in start.buckets.items()}


async def _snapshots(
    connection: AsyncConnection, present: Mapping[uuid.UUID, Account], points: Sequence[Point]
) -> Iterable[tuple[Point, _Known, _Known]]:
    """Each point, the last snapshot at or before it, and the first at or after it; the account's ends where none is."""
    rows = [(n, lane_of(one.account), *one) for n, one in enumerate(points)]
    found: list[tuple[Point, _Known, _Known]] = []
    for number, *columns in await ask(connection, _nearest_snapshots, rows):
        point = points[number]
        account = present[point.account]
        first = _Known(Point(account.id, 0), dict.fromkeys(BUCKETS, 0))
        last = _Known(Point(account.id, account.sequence), account.buckets)
        found.append((point, _known(account.id, columns[:5]) or first, _known(account.id, columns[5:]) or last))
    return found


def _nearest_snapshots(given: Wanted) -> str:
    """The last at or before the row's number, b, and the first at or after it, a."""

    def here(alias: str) -> str:
        return f"{alias}.lane = {given.lane} AND {alias}.account_id = u.c2"

    def is_nearest(alias: str, last: str, compares: str) -> str:
        nearest = f"SELECT {last}(s.sequence) FROM balance_snapshots s WHERE {here('s')} AND s.sequence {compares} u.c3"  # noqa: S608
        return f"{here(alias)} AND {alias}.sequence = ({nearest})"

    return (
        f"SELECT u.c0, b.sequence, {_AMOUNTS.format('b')}, a.sequence, {_AMOUNTS.format('a')} FROM {given.table}"  # noqa: S608
        f" LEFT JOIN balance_snapshots b ON {is_nearest('b', 'max', '<=')}"
        f" LEFT JOIN balance_snapshots a ON {is_nearest('a', 'min', '>=')}"
    )


def _known(account: uuid.UUID, columns: Sequence[Any]) -> _Known | None:
    sequence, *amounts = columns
    if sequence is None:
        return None
    return _Known(Point(account, sequence), dict(zip(BUCKETS, map(units, amounts), strict=True)))


async def _moved(connection: AsyncConnection, spans: Sequence[_Span]) -> list[Buckets]:
    """What the entries of each span moved."""
    moved: list[Buckets] = [{} for _ in spans]
    rows = [
        (n, lane_of(one.point.account), one.point.account, *one.entries)
        for n, one in enumerate(spans)
        if one.entries[0] != one.entries[1]
    ]
    if rows:
        postgresql = connection.dialect.name == "postgresql"
        sums_of = packed_sums("p.amount", _CASES, postgresql=postgresql)

        # A subquery and no join, for which PostgreSQL might read all postings: it cannot guess how few are between.
        def between(given: Wanted) -> str:
            return (
                f"SELECT u.c0, (SELECT {sums_of} FROM postings p WHERE p.lane = {given.lane}"  # noqa: S608
                f" AND p.account_id = u.c2 AND p.sequence > u.c3 AND p.sequence <= u.c4) FROM {given.table}"
            )

        for number, packed in await ask(connection, between, rows):
            sums = zip(BUCKETS, unpacked(packed, len(_CASES)), strict=True)
            moved[number] = {bucket: one.total for bucket, one in sums}
    return moved
