"""Rows as the drivers give them, turned into the shapes of the books. Each list of columns is for a table called t."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from alikassa.ledger.bulk import units
from alikassa.ledger.model import (
    BUCKETS,
    Account,
    AccountState,
    Bucket,
    Discrepancy,
    JournalEntry,
    Kind,
    Lot,
    LotKey,
    Payout,
    PayoutState,
    Posting,
    SystemAccount,
)
from alikassa.ledger.policy import Base, ClockStart, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    *("ACCOUNT", "DISCREPANCY", "ENTRY", "LOT", "PAYOUT", "POLICY", "POSTING"),
    *("account", "discrepancy", "entry", "identified", "lot", "moment", "payout", "place", "policy"),
]

_PLACES: dict[str, Bucket | SystemAccount] = {str(one): one for one in (*Bucket, *SystemAccount)}


def place(text: str) -> Bucket | SystemAccount:
    """A bucket or system account by its name in the database."""
    return _PLACES[text]


def _uuid(value: Any) -> uuid.UUID:
    # PostgreSQL's driver has a kind of its own; others compare and print the standard one.
    return _made(value if isinstance(value, str) else value.int)


# Whoever books is mostly booked on again, and to make one takes ten times as long.
@lru_cache(maxsize=16_384)
def _made(value: str | int) -> uuid.UUID:
    return uuid.UUID(value) if isinstance(value, str) else uuid.UUID(int=value)


def moment(value: Any) -> datetime:
    """A time as a driver gives it."""
    found: datetime = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo is UTC else found.astimezone(UTC)


def _moment_or_none(value: Any) -> datetime | None:
    return None if value is None else moment(value)


ACCOUNT = (
    "t.id, t.merchant_id, t.currency, t.balance, t.hold, t.rolling_reserve, t.pending_payouts, t.sequence,"
    " t.recorded_at, t.opened_at, t.head, t.state, t.policy, t.next_due_at, t.closed_until, t.requires_fresh"
)


def account(row: Sequence[Any]) -> Account:
    return Account(
        id=_uuid(row[0]),
        merchant=_uuid(row[1]),
        currency=row[2],
        buckets=dict(zip(BUCKETS, map(units, row[3:7]), strict=True)),
        sequence=row[7],
        recorded_at=_moment_or_none(row[8]),
        opened_at=moment(row[9]),
        head=row[10],
        state=AccountState(row[11]),
        policy=row[12],
        next_due_at=_moment_or_none(row[13]),
        closed_until=_moment_or_none(row[14]),
        requires_fresh=bool(row[15]),
    )


ENTRY = (
    "t.account_id, t.sequence, t.id, t.kind, t.reference, t.reason, t.metadata, t.content, t.subject, t.detail,"
    " t.effective_at, t.recorded_at, t.hash"
)
POSTING = "t.account_id, t.sequence, t.bucket, t.amount, t.lot_sequence, t.lot_line"


def identified(row: Sequence[Any]) -> list[Any]:
    """A row whose first column is an account's id, ready to compare."""
    return [_uuid(row[0]), *row[1:]]


def entry(row: Sequence[Any], lines: Iterable[Sequence[Any]]) -> JournalEntry:
    """An entry from its row and those of its postings, in their order."""
    return JournalEntry(
        id=_uuid(row[2]),
        account=_uuid(row[0]),
        sequence=row[1],
        kind=Kind(row[3]),
        reference=row[4],
        reason=row[5],
        metadata=row[6],
        content=row[7],
        subject=row[8],
        detail=row[9],
        effective_at=moment(row[10]),
        recorded_at=moment(row[11]),
        postings=tuple(
            Posting(_PLACES[line[2]], units(line[3]), None if line[4] is None else LotKey(line[4], line[5]))
            for line in lines
        ),
        hash=row[12],
    )


LOT = "t.account_id, t.sequence, t.line, t.bucket, t.source, t.policy, t.due_at, t.amount, t.remaining"


def lot(row: Sequence[Any]) -> tuple[uuid.UUID, Lot]:
    """A lot and whose it is."""
    return _uuid(row[0]), Lot(
        key=LotKey(row[1], row[2]),
        bucket=Bucket(row[3]),
        source=row[4],
        policy=row[5],
        due_at=_moment_or_none(row[6]),
        amount=units(row[7]),
        remaining=units(row[8]),
    )


PAYOUT = (
    "t.account_id, t.sequence, t.line, t.reference, t.amount, t.fee, t.by_hand, t.created_at, t.state,"
    " t.state_sequence, t.state_at"
)


def payout(row: Sequence[Any]) -> tuple[uuid.UUID, Payout]:
    """A payout and whose it is."""
    return _uuid(row[0]), Payout(
        key=LotKey(row[1], row[2]),
        reference=row[3],
        amount=units(row[4]),
        fee=units(row[5]),
        by_hand=bool(row[6]),
        created_at=moment(row[7]),
        state=PayoutState(row[8]),
        state_sequence=row[9],
        state_at=moment(row[10]),
    )


DISCREPANCY = "t.account_id, t.payout, t.state, t.claimed, t.opened_at, t.last_at, t.times, t.closed_sequence"


def discrepancy(row: Sequence[Any]) -> Discrepancy:
    return Discrepancy(
        account=_uuid(row[0]),
        payout=row[1],
        state=PayoutState(row[2]),
        claimed=PayoutState(row[3]),
        opened_at=moment(row[4]),
        last_at=moment(row[5]),
        times=row[6],
        closed_sequence=row[7],
    )


POLICY = (
    "t.account_id, t.version, t.fee_percent, t.fee_fixed, t.hold_percent, t.hold_days, t.reserve_percent,"
    " t.reserve_days, t.reserve_base, t.time_zone, t.clock_start"
)


def policy(row: Sequence[Any]) -> tuple[uuid.UUID, int, Policy]:
    """Whose policy, which version, and its terms."""
    return (
        _uuid(row[0]),
        row[1],
        Policy(
            fee_percent=units(row[2]),
            fee_fixed=units(row[3]),
            hold_percent=units(row[4]),
            hold_days=row[5],
            reserve_percent=units(row[6]),
            reserve_days=row[7],
            reserve_base=Base(row[8]),
            time_zone=row[9],
            clock_start=ClockStart(row[10]),
        ),
    )
