"""Who may use the cabinet: a merchant's owners and viewers, and operators."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa import clock
from alikassa.errors import ConflictError, InvalidInputError, NotFoundError
from alikassa.ledger import store
from alikassa.ledger.ids import uuid7
from alikassa.ledger.rules.checks import check_text
from alikassa.ledger.schema import sessions, users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database

__all__ = ["LANGUAGES", "LONGEST_LOGIN", "Role", "User", "Users"]

LANGUAGES = ("ru", "en")
LONGEST_LOGIN = 100


class Role(StrEnum):
    """An owner changes a merchant's keys, a viewer looks; an operator sees every merchant's books."""

    OWNER = "owner"
    VIEWER = "viewer"
    OPERATOR = "operator"


class User(msgspec.Struct, frozen=True):
    """`merchant` is None for an operator. What logs in, the password's hash and the code's secret, no repr shows."""

    id: uuid.UUID
    merchant: uuid.UUID | None
    login: str
    role: Role
    password: str
    totp_secret: bytes | None
    totp_step: int | None
    language: str
    created_at: datetime
    disabled_at: datetime | None

    def __repr__(self) -> str:
        return f"User({self.login!r}, {self.role})"

    def __rich_repr__(self) -> Any:
        yield self.login
        yield self.role

    @property
    def may_change(self) -> bool:
        return self.role is Role.OWNER


class Users:
    """The users of one database."""

    def __init__(self, database: Database, now: Clock = clock.now) -> None:
        self._database = database
        self._now = now

    async def add(
        self, login: str, role: Role, password: str, *, merchant: uuid.UUID | None = None, language: str = "ru"
    ) -> User:
        """Add a user; `password` is its hash. Logins are the same in capitals and in small letters.

        ConflictError when the login is taken, NotFoundError when there is no such merchant, InvalidInputError for an
        operator with a merchant and for anybody else without one.
        """
        login = check_text(login, "login", LONGEST_LOGIN).lower()
        if (role is Role.OPERATOR) != (merchant is None):
            raise InvalidInputError(
                "An operator belongs to no merchant, and an owner or viewer to one.",
                remedy="Give --merchant ID with --role owner or viewer, and not with operator.",
            )
        if language not in LANGUAGES:
            raise InvalidInputError(f"There is no language {language!r} here.", remedy="Choose ru or en.")
        made = User(uuid7(), merchant, login, role, password, None, None, language, self._now(), None)
        async with self._database.write() as connection:
            if merchant is not None and await store.find_merchant(connection, merchant, lock=True) is None:
                raise NotFoundError(f"There is no merchant {merchant}.", remedy="List them: alikassa merchant list")
            if await connection.scalar(sa.select(users.c.id).where(users.c.login == login)) is not None:
                raise ConflictError(f"There is a user {login} already.", remedy="Choose another login.")
            await connection.execute(users.insert().values(_row(made)))
        return made

    async def all(self, merchant: uuid.UUID | None = None) -> list[User]:
        """Every user, or a merchant's, also disabled ones, the oldest first."""
        statement = sa.select(users).order_by(users.c.created_at, users.c.id)
        if merchant is not None:
            statement = statement.where(users.c.merchant_id == merchant)
        async with self._database.read() as connection:
            return [user_of(row) for row in (await connection.execute(statement)).mappings()]

    async def by_login(self, login: str) -> User | None:
        async with self._database.read() as connection:
            statement = sa.select(users).where(users.c.login == login.lower())
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else user_of(row)

    async def set_password(self, user: uuid.UUID, password: str) -> None:
        """The hash of a new one. All of the user's sessions end: whoever had the old one is out."""
        await self._change(user, end_sessions=True, password=password)

    async def set_codes(self, user: uuid.UUID, secret: bytes | None, step: int | None) -> None:
        """Ask for one-time codes of this secret from now on; with None, no longer."""
        await self._change(user, totp_secret=secret, totp_step=step)

    async def take_code(self, user: uuid.UUID, step: int) -> bool:
        """Note the step of an accepted code. False when the same or a later one was taken meanwhile."""
        earlier = sa.or_(users.c.totp_step.is_(None), users.c.totp_step < step)
        async with self._database.write() as connection:
            statement = users.update().where(users.c.id == user, earlier).values(totp_step=step)
            return (await connection.execute(statement)).rowcount == 1

    async def set_language(self, user: uuid.UUID, language: str) -> None:
        await self._change(user, language=language)

    async def disable(self, login: str) -> User:
        """Keep a user out from now on. Doing it twice changes nothing. NotFoundError when there is no such user."""
        found = await self.by_login(login)
        if found is None:
            raise NotFoundError(f"There is no user {login}.", remedy="List them: alikassa user list")
        if found.disabled_at is not None:
            return found
        at = self._now()
        await self._change(found.id, end_sessions=True, disabled_at=at)
        return msgspec.structs.replace(found, disabled_at=at)

    async def _change(self, user: uuid.UUID, *, end_sessions: bool = False, **values: object) -> None:
        async with self._database.write() as connection:
            await connection.execute(users.update().where(users.c.id == user).values(**values))
            if end_sessions:
                await connection.execute(sessions.delete().where(sessions.c.user_id == user))


def user_of(row: Mapping[Any, Any]) -> User:
    return User(
        id=row["id"],
        merchant=row["merchant_id"],
        login=row["login"],
        role=Role(row["role"]),
        password=row["password"],
        totp_secret=row["totp_secret"],
        totp_step=row["totp_step"],
        language=row["language"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )


def _row(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "merchant_id": user.merchant,
        "login": user.login,
        "role": user.role.value,
        "password": user.password,
        "totp_secret": user.totp_secret,
        "totp_step": user.totp_step,
        "language": user.language,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
