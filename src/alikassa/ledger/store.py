"""The SQL of the books: rows in, rows out. No decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import (
    BUCKETS,
    Account,
    AccountState,
    Certificate,
    CertificateState,
    Merchant,
    Purpose,
)
from alikassa.ledger.schema import accounts, certificates, closed_periods, merchants
from alikassa.ledger.types import Moment, Uuid

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = [
    "closed_until",
    "find_account",
    "find_accounts",
    "find_certificates",
    "find_merchant",
    "find_merchants",
    "insert_account",
    "insert_certificate",
    "insert_merchant",
    "lock_certificate",
    "update_account",
    "update_certificate",
]


async def _first(
    connection: AsyncConnection, statement: sa.Select[Any], *, lock: bool = False
) -> Mapping[Any, Any] | None:
    """The first row. SQLite has no row locks: there, a transaction that writes holds the one lock there is."""
    found = await connection.execute(statement.with_for_update() if lock else statement)
    row: Mapping[Any, Any] | None = found.mappings().first()
    return row


# Merchants


async def insert_merchant(connection: AsyncConnection, merchant: Merchant) -> None:
    await connection.execute(
        merchants.insert().values(id=merchant.id, name=merchant.name, created_at=merchant.created_at)
    )


async def find_merchant(connection: AsyncConnection, merchant: uuid.UUID, *, lock: bool = False) -> Merchant | None:
    """With `lock`, nobody else can change the merchant or its certificates until the transaction ends."""
    row = await _first(connection, sa.select(merchants).where(merchants.c.id == merchant), lock=lock)
    return None if row is None else Merchant(id=row["id"], name=row["name"], created_at=row["created_at"])


async def find_merchants(
    connection: AsyncConnection, *, after: uuid.UUID | None = None, limit: int | None = None
) -> list[Merchant]:
    statement = sa.select(merchants).order_by(merchants.c.id).limit(limit)
    if after is not None:
        statement = statement.where(merchants.c.id > after)
    found = (await connection.execute(statement)).mappings()
    return [Merchant(id=row["id"], name=row["name"], created_at=row["created_at"]) for row in found]


# Certificates


def _certificate(row: Mapping[Any, Any]) -> Certificate:
    return Certificate(
        id=row["id"],
        merchant=row["merchant_id"],
        purpose=Purpose(row["purpose"]),
        state=CertificateState(row["state"]),
        sha1_allowed=row["sha1_allowed"],
        fingerprint=row["fingerprint"],
        bits=row["bits"],
        public_key=row["public_key"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )


async def insert_certificate(connection: AsyncConnection, certificate: Certificate) -> None:
    await connection.execute(
        certificates.insert().values(
            id=certificate.id,
            merchant_id=certificate.merchant,
            purpose=certificate.purpose,
            state=certificate.state,
            sha1_allowed=certificate.sha1_allowed,
            fingerprint=certificate.fingerprint,
            bits=certificate.bits,
            public_key=certificate.public_key,
            created_at=certificate.created_at,
            revoked_at=certificate.revoked_at,
        )
    )


async def lock_certificate(connection: AsyncConnection, certificate: uuid.UUID) -> Certificate | None:
    """The certificate, which cannot change until the transaction ends."""
    row = await _first(connection, sa.select(certificates).where(certificates.c.id == certificate), lock=True)
    return None if row is None else _certificate(row)


async def find_certificates(
    connection: AsyncConnection, merchant: uuid.UUID | None = None, *, newest: int | None = None
) -> list[Certificate]:
    """A merchant's certificates, or all; active ones first, then the newest."""
    statement = sa.select(certificates).order_by(
        certificates.c.state, certificates.c.created_at.desc(), certificates.c.id
    )
    if merchant is not None:
        statement = statement.where(certificates.c.merchant_id == merchant)
    if newest is not None:
        statement = statement.limit(newest)
    return [_certificate(row) for row in (await connection.execute(statement)).mappings()]


async def update_certificate(connection: AsyncConnection, certificate: uuid.UUID, **changes: object) -> None:
    await connection.execute(certificates.update().where(certificates.c.id == certificate).values(**changes))


# Accounts


def _account(row: Mapping[Any, Any]) -> Account:
    return Account(
        id=row["id"],
        merchant=row["merchant_id"],
        currency=row["currency"],
        buckets={bucket: row[bucket.value] for bucket in BUCKETS},
        sequence=row["sequence"],
        recorded_at=row["recorded_at"],
        opened_at=row["opened_at"],
        head=row["head"],
        state=AccountState(row["state"]),
        policy=row["policy"],
        next_due_at=row["next_due_at"],
        closed_until=row["closed_until"],
        requires_fresh=row["requires_fresh"],
    )


async def insert_account(connection: AsyncConnection, account: Account) -> bool:
    """Whether its uuid was free."""
    try:
        async with connection.begin_nested():
            await connection.execute(
                accounts.insert().values(
                    lane=lane_of(account.id),
                    id=account.id,
                    merchant_id=account.merchant,
                    currency=account.currency,
                    sequence=account.sequence,
                    recorded_at=account.recorded_at,
                    opened_at=account.opened_at,
                    head=account.head,
                    closed_until=account.closed_until,
                    **{bucket.value: amount for bucket, amount in account.buckets.items()},
                )
            )
    except IntegrityError:
        return False
    return True


async def find_account(connection: AsyncConnection, account: uuid.UUID, *, lock: bool = False) -> Account | None:
    """With `lock`, the account cannot change until the transaction ends."""
    row = await _first(
        connection, sa.select(accounts).where(accounts.c.lane == lane_of(account), accounts.c.id == account), lock=lock
    )
    return None if row is None else _account(row)


async def update_account(connection: AsyncConnection, account: uuid.UUID, **changes: object) -> None:
    """For settings of an account. What is on it changes by entries alone."""
    await connection.execute(
        accounts.update().where(accounts.c.lane == lane_of(account), accounts.c.id == account).values(**changes)
    )


async def find_accounts(
    connection: AsyncConnection,
    merchant: uuid.UUID | None = None,
    *,
    after: uuid.UUID | None = None,
    limit: int | None = None,
) -> list[Account]:
    """The oldest first; with `limit`, by their key, so that a page costs no more than itself."""
    order = (accounts.c.opened_at, accounts.c.id) if limit is None else (accounts.c.lane, accounts.c.id)
    statement = sa.select(accounts).order_by(*order).limit(limit)
    if merchant is not None:
        statement = statement.where(accounts.c.merchant_id == merchant)
    if after is not None:
        last = sa.tuple_(sa.literal(lane_of(after)), sa.literal(after, Uuid))
        statement = statement.where(sa.tuple_(accounts.c.lane, accounts.c.id) > last)
    return [_account(row) for row in (await connection.execute(statement)).mappings()]


async def closed_until(connection: AsyncConnection) -> datetime | None:
    """The end of the latest period that was closed for all accounts."""
    found = await connection.execute(sa.select(sa.func.max(closed_periods.c.until, type_=Moment)))
    until: datetime | None = found.scalar_one()
    return until
