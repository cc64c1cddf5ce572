"""Certificates that somebody should look at: being replaced, old, or still signing with SHA-1."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from alikassa.ledger.model import CertificateState, Purpose
from alikassa.ledger.schema import certificate_uses, certificates, merchants
from alikassa.ledger.types import Moment
from alikassa.protocol.signatures import Digest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.ledger.database import Database

__all__ = [
    *("Pointed", "Rotation", "WatchedCertificate"),
    *("old_certificates", "owner_of", "rotations", "signing_with_sha1"),
]

One = TypeVar("One")


class Pointed(msgspec.Struct, Generic[One], frozen=True):
    """How many there are, and the `first` of them."""

    count: int
    first: list[One]


class Rotation(msgspec.Struct, frozen=True):
    """A merchant with several active certificates of one purpose: the old one may be revoked once the new one signs."""

    merchant: uuid.UUID
    name: str
    purpose: Purpose
    active: int
    newest_at: datetime


class WatchedCertificate(msgspec.Struct, frozen=True):
    """An active certificate, whose it is, and when what is watched of it happened."""

    id: uuid.UUID
    merchant: uuid.UUID
    name: str
    purpose: Purpose
    at: datetime


_ACTIVE = certificates.c.state == CertificateState.ACTIVE.value
_WITH_MERCHANT = certificates.join(merchants, certificates.c.merchant_id == merchants.c.id)


async def rotations(database: Database, *, limit: int = 20) -> Pointed[Rotation]:
    """Where keys are being replaced, the latest first."""
    by = (certificates.c.merchant_id, certificates.c.purpose)
    count = sa.func.count().label("active")
    newest = sa.func.max(certificates.c.created_at, type_=Moment).label("newest_at")
    several = sa.select(*by, count, newest).where(_ACTIVE).group_by(*by).having(sa.func.count() > 1).subquery()
    listed = (
        sa.select(several, merchants.c.name)
        .join_from(several, merchants, several.c.merchant_id == merchants.c.id)
        .order_by(several.c.newest_at.desc(), several.c.merchant_id, several.c.purpose)
        .limit(limit)
    )
    async with database.read() as connection:
        found = [
            Rotation(row.merchant_id, row.name, Purpose(row.purpose), row.active, row.newest_at)
            for row in await connection.execute(listed)
        ]
        return Pointed(await _count(connection, several), found)


async def old_certificates(database: Database, before: datetime, *, limit: int = 20) -> Pointed[WatchedCertificate]:
    """Active ones that were registered before, the oldest first."""
    old = _watched(certificates.c.created_at, _WITH_MERCHANT).where(_ACTIVE, certificates.c.created_at < before)
    return await _pointed(database, old, sa.asc, limit)


async def signing_with_sha1(database: Database, since: datetime, *, limit: int = 20) -> Pointed[WatchedCertificate]:
    """Active ones that signed a request with SHA-1 since then, the latest first; right to about a minute."""
    used = _WITH_MERCHANT.join(certificate_uses, certificate_uses.c.certificate_id == certificates.c.id)
    at = certificate_uses.c.last_used_at
    signing = _watched(at, used).where(_ACTIVE, certificate_uses.c.digest == Digest.SHA1.value, at >= since)
    return await _pointed(database, signing, sa.desc, limit)


def _watched(at: sa.ColumnElement[datetime], source: sa.FromClause) -> sa.Select[Any]:
    return sa.select(
        certificates.c.id, certificates.c.merchant_id, merchants.c.name, certificates.c.purpose, at.label("happened_at")
    ).select_from(source)


async def _pointed(
    database: Database, statement: sa.Select[Any], order: Any, limit: int
) -> Pointed[WatchedCertificate]:
    listed = statement.order_by(order(sa.literal_column("happened_at")), certificates.c.id).limit(limit)
    async with database.read() as connection:
        found = [
            WatchedCertificate(row.id, row.merchant_id, row.name, Purpose(row.purpose), row.happened_at)
            for row in await connection.execute(listed)
        ]
        return Pointed(await _count(connection, statement.subquery()), found)


async def _count(connection: AsyncConnection, source: sa.FromClause) -> int:
    return await connection.scalar(sa.select(sa.func.count()).select_from(source)) or 0


async def owner_of(database: Database, certificate: uuid.UUID) -> uuid.UUID | None:
    """The merchant whose it is, None when there is no such certificate."""
    async with database.read() as connection:
        found: uuid.UUID | None = await connection.scalar(
            sa.select(certificates.c.merchant_id).where(certificates.c.id == certificate)
        )
    return found
