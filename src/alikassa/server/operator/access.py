"""Who may: the bearer of a token."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from alikassa.errors import DatabaseError
from alikassa.ledger.tokens import NOTED_EVERY, Scope, token_hash
from alikassa.server.operator.refusals import RequestError

if TYPE_CHECKING:
    import uuid

    from alikassa.ledger.tokens import OperatorToken, Tokens
    from alikassa.server.operator.log import OperatorLog

__all__ = ["Access"]

# Longer than any token of ours.
_LONGEST = 128
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="alikassa operator"'}


class Access:
    """Asks the database for every request, so that a revoked token is refused from the next one on; requests that
    wait at the same moment share one read."""

    def __init__(self, tokens: Tokens, log: OperatorLog) -> None:
        self._tokens = tokens
        self._log = log
        self._waiting: dict[bytes, asyncio.Future[OperatorToken | None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._noted: dict[uuid.UUID, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def admit(self, authorization: str | None, *, writes: bool) -> OperatorToken:
        """The token of this Authorization header. RequestError (401, 403) when it does not admit."""
        if authorization is None:
            raise RequestError(
                401,
                "Unauthorized",
                "This needs a token.",
                remedy="Send Authorization: Bearer TOKEN; alikassa operator token create makes one.",
                headers=_CHALLENGE,
            )
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip(" ")
        found = None
        if scheme.lower() == "bearer" and 0 < len(secret) <= _LONGEST:
            found = await self._find(token_hash(secret))
        if found is None:
            raise RequestError(
                401,
                "Unauthorized",
                "This token is unknown or revoked.",
                remedy="See which there are: alikassa operator token list",
                headers={"WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'},
            )
        self._note(found.id)
        if writes and found.scope is not Scope.WRITE:
            raise RequestError(
                403,
                "Forbidden",
                "This token is for reading.",
                remedy="Use one with the scope write.",
                headers={"WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="insufficient_scope"'},
            )
        return found

    async def _find(self, hash_: bytes) -> OperatorToken | None:
        future = self._waiting.get(hash_)
        if future is None:
            future = self._waiting[hash_] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._read())
        # Several wait for one future: that one of them is gone must not cancel it for the others.
        return await asyncio.shield(future)

    async def _read(self) -> None:
        try:
            while self._waiting:
                # Whoever comes during the read waits for the next: this one may not have seen the latest.
                asked, self._waiting = self._waiting, {}
                try:
                    found = await self._tokens.find(asked.keys())
                except Exception as error:  # whoever waits must be told
                    for future in asked.values():
                        future.set_exception(error)
                        # Those who asked may be gone.
                        future.exception()
                else:
                    for hash_, future in asked.items():
                        future.set_result(found.get(hash_))
        finally:
            self._reading = None

    def _note(self, token: uuid.UUID) -> None:
        """Write down that it was used, beside the request: at most one write a minute and token."""
        now = time.monotonic()
        if now - self._noted.get(token, float("-inf")) < NOTED_EVERY.total_seconds():
            return
        self._noted[token] = now
        task = asyncio.get_running_loop().create_task(self._write_note(token))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_note(self, token: uuid.UUID) -> None:
        try:
            await self._tokens.note_use(token)
        except DatabaseError as error:
            self._noted.pop(token, None)
            self._log.note_failed(error)

    async def close(self) -> None:
        """Waits for what is being written down."""
        await asyncio.gather(*self._notes, return_exceptions=True)
        if self._reading is not None:
            await self._reading
