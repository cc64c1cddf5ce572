"""Passwords: what may be one, and their Argon2id hashes."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from alikassa.errors import InvalidInputError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["LONGEST_PASSWORD", "SHORTEST_PASSWORD", "Passwords", "check_password"]

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
# Each takes 64 MiB and a core while it lasts: strangers may ask for them.
_TOGETHER = 2
_MOST_WAITING = 32


def check_password(password: str, login: str) -> None:
    """InvalidInputError for one that is too short, too long, the login itself, or one character over and over."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInputError(
            "The password is too short or too long.",
            remedy=f"Choose one of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.",
        )
    if password.lower() == login.lower() or len(set(password)) < 4:
        raise InvalidInputError("The password is easy to guess.", remedy="Choose another, such as four random words.")


class Passwords:
    """Hashes and checks in threads of its own, at most two at a time: RFC 9106's second choice of parameters.

    OverloadedError when many wait already: it is better to be told so than to wait behind all of them.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))
        self._turns = asyncio.Semaphore(_TOGETHER)
        self._asked = 0

    async def hash(self, password: str) -> str:
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, hash_: str | None, password: str) -> bool:
        """Whether it is the one that was hashed. Without a hash, nobody's is checked: it takes as long."""
        async with self._turn():
            fits = await asyncio.to_thread(self._fits, hash_ or self._nobodys, password[:LONGEST_PASSWORD])
        return fits and hash_ is not None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._asked >= _TOGETHER + _MOST_WAITING:
            raise OverloadedError("Too many passwords are being checked.", remedy="Try again in a moment.")
        self._asked += 1
        try:
            async with self._turns:
                yield
        finally:
            self._asked -= 1

    def _fits(self, hash_: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash_, password)
        except (VerificationError, InvalidHashError):
            return False
