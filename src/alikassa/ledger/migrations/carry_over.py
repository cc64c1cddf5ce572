"""What was booked before lots, payouts and the hash chain were kept is given all three.

Before, only adjustments were booked. What they brought into `hold` and `rolling_reserve` becomes one lot a bucket,
held by hand, and what they brought into `pending_payouts` one payout by hand.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from alikassa.ledger.chain import entry_hash, genesis, lot_terms, payout_terms
from alikassa.ledger.model import (
    HELD,
    Bucket,
    JournalEntry,
    Kind,
    Lot,
    LotKey,
    Payout,
    PayoutState,
    Posting,
    SystemAccount,
)
from alikassa.ledger.types import Amount, Moment, Uuid
from alikassa.money import BOUND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["carry_over"]


def _table(name: str, **columns: Any) -> sa.TableClause:
    return sa.table(name, *(sa.column(column, kind) for column, kind in columns.items()))


_ACCOUNTS = _table("accounts", lane=sa.SmallInteger, id=Uuid, merchant_id=Uuid, currency=sa.Text, head=sa.LargeBinary)
_ENTRIES = _table(
    "journal_entries",
    lane=sa.SmallInteger,
    account_id=Uuid,
    sequence=sa.BigInteger,
    id=Uuid,
    kind=sa.Text,
    reference=sa.Text,
    reason=sa.Text,
    content=sa.LargeBinary,
    effective_at=Moment,
    recorded_at=Moment,
    hash=sa.LargeBinary,
)
_POSTINGS = _table(
    "postings",
    lane=sa.SmallInteger,
    account_id=Uuid,
    sequence=sa.BigInteger,
    line=sa.SmallInteger,
    bucket=sa.Text,
    amount=Amount,
    lot_sequence=sa.BigInteger,
    lot_line=sa.SmallInteger,
)
_LOTS = _table(
    "lots",
    lane=sa.SmallInteger,
    account_id=Uuid,
    sequence=sa.BigInteger,
    line=sa.SmallInteger,
    bucket=sa.Text,
    source=sa.Text,
    policy=sa.Integer,
    due_at=Moment,
    amount=Amount,
    remaining=Amount,
    open=sa.Boolean,
)
_PAYOUTS = _table(
    "payouts",
    lane=sa.SmallInteger,
    account_id=Uuid,
    reference=sa.Text,
    sequence=sa.BigInteger,
    line=sa.SmallInteger,
    amount=Amount,
    fee=Amount,
    by_hand=sa.Boolean,
    created_at=Moment,
    state=sa.Text,
    state_sequence=sa.BigInteger,
    state_at=Moment,
)


def carry_over(connection: sa.Connection) -> None:
    """Runs in the migration's transaction. The journal's guards rest meanwhile."""
    found = connection.execute(sa.select(_ACCOUNTS)).mappings().all()
    if not found:
        return
    with _unguarded(connection):
        for account in found:
            _carry_over(connection, account)


def _carry_over(connection: sa.Connection, account: Mapping[Any, Any]) -> None:
    here = {"lane": account["lane"], "account_id": account["id"]}
    head = genesis(account["id"], account["merchant_id"], account["currency"])
    held: dict[str, _Held] = {}
    entries = connection.execute(sa.select(_ENTRIES).where(*_at(_ENTRIES, here)).order_by(_ENTRIES.c.sequence))
    rows = entries.mappings().all()
    named: list[tuple[Mapping[Any, Any], tuple[Posting, ...]]] = []
    for row in rows:
        lines = connection.execute(
            sa.select(_POSTINGS.c.bucket, _POSTINGS.c.amount)
            .where(*_at(_POSTINGS, here), _POSTINGS.c.sequence == row["sequence"])
            .order_by(_POSTINGS.c.line)
        ).all()
        postings: list[Posting] = []
        for line, (name, amount) in enumerate(lines):
            bucket = SystemAccount(name) if name.startswith("system:") else Bucket(name)
            if bucket not in HELD:
                postings.append(Posting(bucket, amount))
                continue
            one = held.setdefault(bucket, _Held(LotKey(row["sequence"], line), row))
            one.move(amount, row)
            postings.append(Posting(bucket, amount, one.key))
            connection.execute(
                sa.update(_POSTINGS)
                .where(*_at(_POSTINGS, here), _POSTINGS.c.sequence == row["sequence"], _POSTINGS.c.line == line)
                .values(lot_sequence=one.key.sequence, lot_line=one.key.line)
            )
        named.append((row, tuple(postings)))
    # Only now are the lots' terms known.
    terms: dict[int, tuple[str, ...]] = {}
    for name, kept in held.items():
        terms[kept.key.sequence] = kept.keep(connection, here, Bucket(name))
    for booked, postings_ in named:
        entry = JournalEntry(
            id=booked["id"],
            account=account["id"],
            sequence=booked["sequence"],
            kind=Kind(booked["kind"]),
            reference=booked["reference"],
            reason=booked["reason"],
            metadata="{}",
            content=booked["content"],
            subject=None,
            detail="",
            effective_at=booked["effective_at"],
            recorded_at=booked["recorded_at"],
            postings=postings_,
        )
        head = entry_hash(head, entry, terms.get(booked["sequence"], ()))
        connection.execute(
            sa.update(_ENTRIES).where(*_at(_ENTRIES, here), _ENTRIES.c.sequence == booked["sequence"]).values(hash=head)
        )
    connection.execute(
        sa.update(_ACCOUNTS)
        .where(_ACCOUNTS.c.lane == account["lane"], _ACCOUNTS.c.id == account["id"])
        .values(head=head)
    )


class _Held:
    """What one bucket was given and lost."""

    def __init__(self, key: LotKey, row: Mapping[Any, Any]) -> None:
        self.key = key
        self.first = self.last = row
        self.total = self.given = 0

    def move(self, amount: int, row: Mapping[Any, Any]) -> None:
        self.total += amount
        # All of it, so that what was drawn can come back: a draw may be undone one day.
        self.given = min(self.given + max(amount, 0), BOUND - 1)
        self.last = row

    def keep(self, connection: sa.Connection, here: dict[str, Any], bucket: Bucket) -> tuple[str, ...]:
        """Writes the lot or payout; its terms for the hash."""
        reference, key = self.first["reference"], self.key
        if bucket is not Bucket.PENDING_PAYOUTS:
            lot = Lot(key, bucket, reference, 0, None, self.given, self.total)
            connection.execute(
                sa.insert(_LOTS).values(
                    **here,
                    sequence=key.sequence,
                    line=key.line,
                    bucket=bucket.value,
                    source=reference,
                    policy=0,
                    due_at=None,
                    amount=lot.amount,
                    remaining=lot.remaining,
                    open=lot.remaining > 0,
                )
            )
            return lot_terms(lot)
        state = PayoutState.PENDING if self.total else PayoutState.CANCELLED
        created_at, state_at = self.first["effective_at"], self.last["effective_at"]
        payout = Payout(key, reference, self.total, 0, True, created_at, state, self.last["sequence"], state_at)  # noqa: FBT003
        connection.execute(
            sa.insert(_PAYOUTS).values(
                **here,
                reference=reference,
                sequence=key.sequence,
                line=key.line,
                amount=payout.amount,
                fee=0,
                by_hand=True,
                created_at=created_at,
                state=state.value,
                state_sequence=payout.state_sequence,
                state_at=state_at,
            )
        )
        return payout_terms(payout)


def _at(table: sa.TableClause, here: dict[str, Any]) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.lane == here["lane"], table.c.account_id == here["account_id"]


@contextmanager
def _unguarded(connection: sa.Connection) -> Iterator[None]:
    guards = [("journal_entries", "immutable"), ("postings", "immutable")]
    if connection.dialect.name == "postgresql":
        for table, guard in guards:
            connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_{guard}"))
        yield
        for table, guard in guards:
            connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_{guard}"))
        return
    statements = []
    for table, _ in guards:
        name = f"{table}_no_update"
        statements.append(
            str(connection.scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name}))
        )
        connection.execute(sa.text(f"DROP TRIGGER {name}"))
    yield
    for statement in statements:
        connection.exec_driver_sql(statement)
