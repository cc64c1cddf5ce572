"""The operator's tokens. The database keeps a token's hash alone: what finds it cannot be turned into it."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa import clock
from alikassa.errors import NotFoundError
from alikassa.ledger.ids import uuid7
from alikassa.ledger.rules import check_text
from alikassa.ledger.schema import operator_tokens
from alikassa.ledger.types import Moment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["NOTED_EVERY", "OperatorToken", "Scope", "Tokens", "token_hash"]

#: How often the use of a token is written down.
NOTED_EVERY = timedelta(minutes=1)
_PREFIX = "alk_"
_BYTES = 32
_LONGEST_NAME = 200


class Scope(StrEnum):
    """What a token lets its bearer do; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


class OperatorToken(msgspec.Struct, frozen=True):
    """What is known of a token. `last_used_at` is right to about a minute, None: never used."""

    id: uuid.UUID
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


def token_hash(token: str) -> bytes:
    """What a token is looked up by. Of 32 random bytes no slower hash is needed, and how long a look-up takes tells
    nothing of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Tokens:
    """The tokens of one database."""

    def __init__(self, database: Database, now: Clock = clock.now) -> None:
        self._database = database
        self._now = now

    async def create(self, name: str, scope: Scope) -> tuple[OperatorToken, str]:
        """A new token: what is kept of it, and the token itself, which is never seen again."""
        token = _PREFIX + secrets.token_urlsafe(_BYTES)
        created = OperatorToken(uuid7(), check_text(name, "name", _LONGEST_NAME), scope, self._now(), None, None)
        async with self._database.write() as connection:
            await connection.execute(
                operator_tokens.insert().values(
                    id=created.id,
                    name=created.name,
                    scope=created.scope.value,
                    hash=token_hash(token),
                    created_at=created.created_at,
                )
            )
        return created, token

    async def all(self) -> list[OperatorToken]:
        """Every token, also revoked ones, the oldest first."""
        statement = sa.select(operator_tokens).order_by(operator_tokens.c.created_at, operator_tokens.c.id)
        async with self._database.read() as connection:
            return [_token(row) for row in (await connection.execute(statement)).mappings()]

    async def find(self, hashes: Collection[bytes]) -> dict[bytes, OperatorToken]:
        """The tokens with these hashes that are not revoked."""
        here = operator_tokens.c.hash.in_(hashes), operator_tokens.c.revoked_at.is_(None)
        async with self._database.read() as connection:
            found = (await connection.execute(sa.select(operator_tokens).where(*here))).mappings()
            return {row["hash"]: _token(row) for row in found}

    async def revoke(self, token: uuid.UUID) -> OperatorToken:
        """Refuse a token from now on. Revoking twice changes nothing. NotFoundError when there is no such token."""
        here = operator_tokens.c.id == token
        async with self._database.write() as connection:
            unrevoked = operator_tokens.c.revoked_at.is_(None)
            await connection.execute(operator_tokens.update().where(here, unrevoked).values(revoked_at=self._now()))
            row = (await connection.execute(sa.select(operator_tokens).where(here))).mappings().first()
        if row is None:
            raise NotFoundError(f"There is no token {token}.", remedy="List them: alikassa operator token list")
        return _token(row)

    async def note_use(self, token: uuid.UUID) -> None:
        """Write down that a token was used, unless that was done within the last minute."""
        now = self._now()
        before = sa.bindparam("before", now - NOTED_EVERY, type_=Moment)
        stale = sa.or_(operator_tokens.c.last_used_at.is_(None), operator_tokens.c.last_used_at <= before)
        async with self._database.write() as connection:
            await connection.execute(
                operator_tokens.update().where(operator_tokens.c.id == token, stale).values(last_used_at=now)
            )


def _token(row: Mapping[Any, Any]) -> OperatorToken:
    return OperatorToken(
        id=row["id"],
        name=row["name"],
        scope=Scope(row["scope"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
