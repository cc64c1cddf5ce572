"""A merchant's certificates as its people see them: each with its uses, and how far a replacement has come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from alikassa.cabinet.uploads import Problem, Wrong
from alikassa.errors import ConflictError
from alikassa.ledger import store
from alikassa.ledger.model import Certificate, CertificateState, Purpose
from alikassa.ledger.registry import MOST_ACTIVE, Registry
from alikassa.server.requests.asking import CertificateUse, uses_of

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from alikassa.ledger.database import Database
    from alikassa.protocol.certificates import PublicKey

__all__ = [
    "ENDING",
    "IDLE",
    "Replacement",
    "SeenCertificate",
    "active",
    "certificates_of",
    "ending_of",
    "has_room",
    "register",
    "replacement_of",
    "revoke",
]

#: Characters of a fingerprint that people tell certificates apart by.
ENDING = 8
#: An old certificate that nobody has used for so long may be revoked: daily jobs have run, too.
IDLE = timedelta(hours=24)
# How long a replacement that is done is still shown as one.
_SHOWN_DONE = timedelta(days=7)


class SeenCertificate(msgspec.Struct, frozen=True):
    """A certificate and its uses, the latest first: one for each digest that it has signed with."""

    certificate: Certificate
    uses: list[CertificateUse]

    @property
    def is_active(self) -> bool:
        return self.certificate.state is CertificateState.ACTIVE

    @property
    def ending(self) -> str:
        return ending_of(self.certificate)

    @property
    def last_used_at(self) -> datetime | None:
        return self.uses[0].last_used_at if self.uses else None


class Replacement(msgspec.Struct, frozen=True):
    """How far an old payout certificate has been replaced by a new one; `old` are all that are still to go."""

    new: SeenCertificate | None = None
    old: list[SeenCertificate] = []
    used: bool = False
    idle: bool = False
    done: bool = False


def ending_of(certificate: Certificate) -> str:
    return certificate.fingerprint[-ENDING:]


def active(certificates: Sequence[SeenCertificate], purpose: Purpose) -> list[SeenCertificate]:
    """Those of this purpose that are accepted, the oldest first."""
    return [one for one in certificates if one.is_active and one.certificate.purpose is purpose]


async def certificates_of(database: Database, merchant: uuid.UUID) -> list[SeenCertificate]:
    """All that the merchant ever had, the oldest first. NotFoundError when there is no such merchant."""
    found = await Registry(database).certificates(merchant)
    uses = await uses_of(database, [one.id for one in found])
    seen = [SeenCertificate(one, [use for use in uses if use.certificate == one.id]) for one in found]
    return sorted(seen, key=lambda one: (one.certificate.created_at, one.certificate.id))


def replacement_of(certificates: Sequence[SeenCertificate], now: datetime) -> Replacement:
    """What of replacing a payout certificate has been done, as the data say. The newest is taken for the new one."""
    present = active(certificates, Purpose.PAYOUT)
    if not present:
        return Replacement()
    *old, new = present
    used = new.last_used_at is not None
    if old:
        idle = all(one.last_used_at is None or now - one.last_used_at >= IDLE for one in old)
        return Replacement(new, old, used=used, idle=idle)
    done = any(
        one.certificate.purpose is Purpose.PAYOUT
        and one.certificate.revoked_at is not None
        and new.certificate.created_at <= one.certificate.revoked_at
        and now - one.certificate.revoked_at < _SHOWN_DONE
        for one in certificates
    )
    return Replacement(new, used=used, idle=True, done=True) if done else Replacement()


async def has_room(database: Database, merchant: uuid.UUID, purpose: Purpose) -> bool:
    """Whether one more of this purpose would be taken."""
    present = await Registry(database).certificates(merchant)
    return sum(one.purpose is purpose and one.state is CertificateState.ACTIVE for one in present) < MOST_ACTIVE


async def register(database: Database, merchant: uuid.UUID, purpose: Purpose, key: PublicKey) -> Certificate | Problem:
    """Register a public key, or say why not."""
    registry = Registry(database)
    try:
        return await registry.add_certificate(merchant, purpose, key)
    except ConflictError:
        present = await registry.certificates(merchant)
    same = next((one for one in present if one.fingerprint == key.fingerprint), None)
    if same is None:
        return Problem(Wrong.FULL, {"most": MOST_ACTIVE})
    if same.state is CertificateState.REVOKED:
        return Problem(Wrong.REVOKED, {"ending": ending_of(same)})
    wrong = Wrong.REGISTERED if same.purpose is purpose else Wrong.OTHER_PURPOSE
    return Problem(wrong, {"ending": ending_of(same)})


async def revoke(database: Database, certificate: Certificate, *, also_the_last: bool) -> bool:
    """Revoke for good. False, and nothing is done, for the last active payout certificate unless that is meant: it is
    counted while nobody else can revoke another."""
    async with database.write() as connection:
        await store.find_merchant(connection, certificate.merchant, lock=True)
        present = await store.find_certificates(connection, certificate.merchant)
        others = [
            one
            for one in present
            if one.id != certificate.id and one.purpose is Purpose.PAYOUT and one.state is CertificateState.ACTIVE
        ]
        if certificate.purpose is Purpose.PAYOUT and not others and not also_the_last:
            return False
        await Registry(database, within=connection).revoke_certificate(certificate.id)
    return True
