"""Merchants, their certificates and their accounts."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from alikassa import clock
from alikassa.errors import ConflictError, NotFoundError
from alikassa.ledger import store
from alikassa.ledger.chain import genesis
from alikassa.ledger.ids import uuid7
from alikassa.ledger.model import BUCKETS, Account, Certificate, CertificateState, Merchant, Purpose
from alikassa.ledger.rules import check_text
from alikassa.money import check_currency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.protocol.certificates import PublicKey

__all__ = ["MOST_ACTIVE", "Registry"]

#: Active certificates of one purpose that a merchant may have: two are enough to replace a key without a gap.
MOST_ACTIVE = 4
LONGEST_NAME = 200


class Registry:
    """Who may ask for what. Changes are made `within` a transaction that is under way, else each in its own."""

    def __init__(self, database: Database, now: Clock = clock.now, *, within: AsyncConnection | None = None) -> None:
        self._database = database
        self._now = now
        self._within = within

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        if self._within is not None:
            yield self._within
            return
        async with self._database.write() as connection:
            yield connection

    async def add_merchant(self, name: str, merchant_id: uuid.UUID | None = None) -> Merchant:
        """Add a merchant, with an id of its own or, when it comes from other books, with the one it has there."""
        merchant = Merchant(
            id=merchant_id or uuid7(), name=check_text(name, "name", LONGEST_NAME), created_at=self._now()
        )
        async with self._write() as connection:
            await store.insert_merchant(connection, merchant)
        return merchant

    async def merchants(self, *, after: uuid.UUID | None = None, limit: int | None = None) -> list[Merchant]:
        """Merchants by id, which is in the order of adding; a page of them: up to `limit`, from the one `after`."""
        async with self._database.read() as connection:
            return await store.find_merchants(connection, after=after, limit=limit)

    async def merchant(self, merchant: uuid.UUID) -> Merchant:
        """NotFoundError when there is none."""
        async with self._database.read() as connection:
            found = await store.find_merchant(connection, merchant)
        if found is None:
            raise _no_merchant(merchant)
        return found

    async def add_certificate(
        self, merchant: uuid.UUID, purpose: Purpose, key: PublicKey, *, sha1_allowed: bool = True
    ) -> Certificate:
        """Register a merchant's public key.

        ConflictError when the merchant has that key already (a revoked one does not come back) or has
        `MOST_ACTIVE` active ones of that purpose.
        """
        certificate = Certificate(
            id=uuid7(),
            merchant=merchant,
            purpose=purpose,
            state=CertificateState.ACTIVE,
            sha1_allowed=sha1_allowed,
            fingerprint=key.fingerprint,
            bits=key.bits,
            public_key=key.der,
            created_at=self._now(),
            revoked_at=None,
        )
        async with self._write() as connection:
            if await store.find_merchant(connection, merchant, lock=True) is None:
                raise _no_merchant(merchant)
            _check_addition(certificate, await store.find_certificates(connection, merchant))
            await store.insert_certificate(connection, certificate)
        return certificate

    async def revoke_certificate(self, certificate: uuid.UUID) -> Certificate:
        """Revoke for good: the next request signed with it is refused. Revoking twice changes nothing."""
        async with self._write() as connection:
            found = await store.lock_certificate(connection, certificate)
            if found is None:
                raise NotFoundError(f"There is no certificate {certificate}.", remedy="List: alikassa certificate list")
            if found.state is CertificateState.REVOKED:
                return found
            revoked = replace(found, state=CertificateState.REVOKED, revoked_at=self._now())
            await store.update_certificate(connection, certificate, state=revoked.state, revoked_at=revoked.revoked_at)
        return revoked

    async def allow_sha1(self, certificate: uuid.UUID, *, allowed: bool) -> Certificate:
        """Switch SHA-1 signatures on or off for one certificate."""
        async with self._write() as connection:
            found = await store.lock_certificate(connection, certificate)
            if found is None:
                raise NotFoundError(f"There is no certificate {certificate}.", remedy="List: alikassa certificate list")
            await store.update_certificate(connection, certificate, sha1_allowed=allowed)
        return replace(found, sha1_allowed=allowed)

    async def certificates(self, merchant: uuid.UUID | None = None) -> list[Certificate]:
        async with self._database.read() as connection:
            if merchant is not None and await store.find_merchant(connection, merchant) is None:
                raise _no_merchant(merchant)
            return await store.find_certificates(connection, merchant)

    async def open_account(self, merchant: uuid.UUID, currency: str, account: uuid.UUID | None = None) -> Account:
        """Open an account with nothing on it. ConflictError when the uuid is taken."""
        # Random, not by time: the last bits spread accounts over the lanes, the first give nothing away.
        id_ = account or uuid.uuid4()
        opened = Account(
            id=id_,
            merchant=merchant,
            currency=check_currency(currency),
            buckets=dict.fromkeys(BUCKETS, 0),
            sequence=0,
            recorded_at=None,
            opened_at=self._now(),
            head=genesis(id_, merchant, currency),
        )
        async with self._write() as connection:
            if await store.find_merchant(connection, merchant, lock=True) is None:
                raise _no_merchant(merchant)
            opened = replace(opened, closed_until=await store.closed_until(connection))
            if not await store.insert_account(connection, opened):
                raise ConflictError(f"The account {opened.id} is open already.", remedy="Choose another uuid.")
        return opened

    async def require_fresh(self, account: uuid.UUID, *, required: bool) -> Account:
        """Whether the account takes only signed requests that are good once, from the next request on."""
        async with self._write() as connection:
            found = await store.find_account(connection, account, lock=True)
            if found is None:
                raise _no_account(account)
            await store.update_account(connection, account, requires_fresh=required)
        return replace(found, requires_fresh=required)

    async def accounts(
        self, merchant: uuid.UUID | None = None, *, after: uuid.UUID | None = None, limit: int | None = None
    ) -> list[Account]:
        """A merchant's accounts, or all, the oldest first. With `limit`, a page of them by id, from the one `after`."""
        async with self._database.read() as connection:
            if merchant is not None and await store.find_merchant(connection, merchant) is None:
                raise _no_merchant(merchant)
            return await store.find_accounts(connection, merchant, after=after, limit=limit)

    async def account(self, account: uuid.UUID) -> Account:
        """The account as booked. NotFoundError when there is none."""
        async with self._database.read() as connection:
            found = await store.find_account(connection, account)
        if found is None:
            raise _no_account(account)
        return found


def _no_account(account: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"There is no account {account}.", remedy="List them: alikassa account list")


def _no_merchant(merchant: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"There is no merchant {merchant}.", remedy="Make one with: alikassa merchant add NAME")


def _check_addition(certificate: Certificate, present: list[Certificate]) -> None:
    active = [one for one in present if one.state is CertificateState.ACTIVE and one.purpose is certificate.purpose]
    for one in present:
        if one.fingerprint != certificate.fingerprint:
            continue
        if one.state is CertificateState.ACTIVE:
            raise ConflictError(
                f"This key is the merchant's active {one.purpose} certificate {one.id} already.",
                remedy="Use a key of its own for each purpose.",
            )
        raise ConflictError(
            f"This key was revoked, as {one.purpose} certificate {one.id}.",
            remedy="A revoked key does not come back. Make a new one with: alikassa keygen DIR",
        )
    if len(active) >= MOST_ACTIVE:
        raise ConflictError(
            f"The merchant has {MOST_ACTIVE} active {certificate.purpose} certificates, the most there may be.",
            remedy="Revoke one that is no longer used: alikassa certificate revoke ID",
        )
