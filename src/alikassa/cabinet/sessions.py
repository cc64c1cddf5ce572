"""Who is logged in: sessions in the database, found by the hash of a random token that only the browser has."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from alikassa import clock
from alikassa.cabinet.users import User, user_of
from alikassa.ledger.schema import sessions, users

if TYPE_CHECKING:
    import uuid

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["IDLE", "LONGEST", "Session", "SessionSeen", "Sessions", "new_token"]

#: A session ends when it has not been used so long, and after so long whatever happens.
IDLE, LONGEST = timedelta(hours=1), timedelta(hours=12)
_NOTED_EVERY = timedelta(minutes=1)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_LONGEST_USER_AGENT = 200


class Session(msgspec.Struct, frozen=True):
    """A session that is open, and whose it is."""

    hash: bytes
    user: User


class SessionSeen(msgspec.Struct, frozen=True):
    """What a user is shown of a session."""

    hash: bytes
    created_at: datetime
    seen_at: datetime
    address: str
    user_agent: str


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


class Sessions:
    """The sessions of one database."""

    def __init__(self, database: Database, now: Clock = clock.now) -> None:
        self._database = database
        self._now = now

    async def open(self, user: uuid.UUID, address: str, user_agent: str) -> str:
        """A new session's token. What has run out, of anybody, is cleared away."""
        token, now = new_token(), self._now()
        async with self._database.write() as connection:
            await connection.execute(sessions.delete().where(sa.not_(_is_alive(now))))
            await connection.execute(
                sessions.insert().values(
                    hash=_hash(token),
                    user_id=user,
                    created_at=now,
                    seen_at=now,
                    address=address,
                    user_agent="".join(one if one.isprintable() else "?" for one in user_agent[:_LONGEST_USER_AGENT]),
                )
            )
        return token

    async def find(self, token: str) -> Session | None:
        """The session of this token, unless it ended or its user was disabled. That it was used is noted once a
        minute."""
        if _TOKEN.fullmatch(token) is None:
            return None
        hash_, now = _hash(token), self._now()
        statement = (
            sa.select(users, sessions.c.seen_at)
            .join_from(sessions, users, sessions.c.user_id == users.c.id)
            .where(sessions.c.hash == hash_, _is_alive(now), users.c.disabled_at.is_(None))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            return None
        if now - row["seen_at"] > _NOTED_EVERY:
            async with self._database.write() as connection:
                await connection.execute(sessions.update().where(sessions.c.hash == hash_).values(seen_at=now))
        return Session(hash_, user_of(row))

    async def of(self, user: uuid.UUID) -> list[SessionSeen]:
        """A user's open sessions, the one used last first."""
        mine = sa.select(sessions).where(sessions.c.user_id == user, _is_alive(self._now()))
        async with self._database.read() as connection:
            found = (await connection.execute(mine.order_by(sessions.c.seen_at.desc()))).mappings()
            return [
                SessionSeen(row["hash"], row["created_at"], row["seen_at"], row["address"], row["user_agent"])
                for row in found
            ]

    async def end(self, session: bytes) -> None:
        async with self._database.write() as connection:
            await connection.execute(sessions.delete().where(sessions.c.hash == session))

    async def end_all(self, user: uuid.UUID) -> None:
        """Log the user out everywhere."""
        async with self._database.write() as connection:
            await connection.execute(sessions.delete().where(sessions.c.user_id == user))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _is_alive(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.seen_at > now - IDLE, sessions.c.created_at > now - LONGEST)
