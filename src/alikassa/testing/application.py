"""The server's own application over the sandbox's books and clock, with faults before it and a record behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import structlog

from alikassa.errors import InvalidInputError
from alikassa.ledger.reader import reader_for
from alikassa.protocol.messages import BALANCE_PATH
from alikassa.protocol.signatures import decode_sign, signed_digest
from alikassa.server.answers import invalid, problem
from alikassa.server.application import LONGEST_BODY, Application
from alikassa.server.balance import BalanceEndpoint
from alikassa.server.log import RequestLog
from alikassa.server.refusals import UNIFORM
from alikassa.server.verification import Verifier
from alikassa.testing.drift import drift
from alikassa.testing.faults import Drifting, Failing, OnlyDigest, RateLimited, Refused, Reset, Silent, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.clock import Clock
    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader
    from alikassa.server.answers import Answer
    from alikassa.server.settings import Settings
    from alikassa.testing.connections import Exchange, Request
    from alikassa.testing.faults import Fault, FaultList
    from alikassa.testing.record import Record

__all__ = ["SandboxApplication"]

# Given in place of the true answer.
_REPLACING = (Refused, RateLimited, Failing, Silent, Reset)


class _Log(RequestLog):
    """The server's log, to `logging`: a sandbox prints nothing into the output of a test."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.wrap_logger(
            logging.getLogger("alikassa.testing"),
            processors=[structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )


class SandboxApplication(Application):
    """Answers as `alikassa serve` does. `keys` gives the public keys of an account's merchant, for the record."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        now: Clock,
        faults: FaultList,
        record: Record,
        keys: Callable[[str], Sequence[RSAPublicKey]],
    ) -> None:
        super().__init__(settings)
        self._log = _Log()
        self._database = database
        self._now = now
        self._faults = faults
        self._record = record
        self._keys = keys

    @property
    def reader(self) -> AccountReader:
        reader: AccountReader = self._reader
        return reader

    async def start(self) -> None:
        self._reader = reader_for(self._database, self._now)
        self._endpoint = BalanceEndpoint(self._database, self._reader, Verifier(), self._log, self._settings.errors)
        self._watch = asyncio.get_running_loop().create_task(self._end_stalled())

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """One request: the fault that is next for its account, or the server's true answer."""
        account = (request.headers.get("account") or "").lower()
        fault = self._faults.take(account) if request.path == BALANCE_PATH else None
        exchange.fault = fault
        if isinstance(fault, _REPLACING):
            answer = _in_place(fault)
            await self._read(exchange)
            if answer is not None:
                exchange.response_bytes(*answer)
        else:
            await self.__rsgi__(request, exchange)  # type: ignore[arg-type] # an exchange is one, RSGI's names aside
        digest = self._digest(request, account, bytes(exchange.body))
        if exchange.answer is not None and fault is not None:
            exchange.answer = _altered(exchange.answer, fault, digest)
        self._record.add(
            method=request.method,
            path=request.path,
            account=request.headers.get("account") or "",
            digest=digest,
            body=bytes(exchange.body[:LONGEST_BODY]),
            status=exchange.answer.status if exchange.answer else 0,
            fault=str(fault.__struct_config__.tag) if fault is not None else "",
        )

    async def _read(self, exchange: Exchange) -> None:
        """The body, for the record; as much of it as the server would take, in its time."""
        size = 0
        async with asyncio.timeout(self._settings.body_seconds):
            async for chunk in exchange:
                size += len(chunk)
                if size > LONGEST_BODY:
                    return

    def _digest(self, request: Request, account: str, body: bytes) -> str:
        signs = request.headers.get_all("sign")
        try:
            signature = decode_sign(signs[0]) if len(signs) == 1 else b""
        except InvalidInputError:
            return ""
        for key in self._keys(account):
            if len(signature) * 8 != key.key_size or int.from_bytes(signature) >= key.public_numbers().n:
                continue
            if (digest := signed_digest(key, signature, body)) is not None:
                return str(digest)
        return ""

    async def _end_stalled(self) -> None:
        """As the server does, but it never ends the process that it runs in: that is somebody's test."""
        while True:
            await asyncio.sleep(min(self._settings.body_seconds / 10, 1.0))
            now = time.monotonic()
            for receiving, until in list(self._receiving.items()):
                if until <= now:
                    del self._receiving[receiving]
                    receiving.cancel()


def _in_place(fault: Refused | RateLimited | Failing | Silent | Reset) -> Answer | None:
    if isinstance(fault, Refused):
        return invalid({fault.field: [fault.text]})
    if isinstance(fault, RateLimited):
        return problem(
            429,
            "Too many requests.",
            remedy=f"Ask again in {fault.retry_after} s.",
            headers=[("retry-after", str(fault.retry_after))],
        )
    if isinstance(fault, Failing):
        later = [] if fault.retry_after is None else [("retry-after", str(fault.retry_after))]
        return problem(fault.status, "The sandbox was told to fail.", remedy="Send the request again.", headers=later)
    return None


def _altered(answer: Answer, fault: Fault, digest: str) -> Answer:
    if isinstance(fault, Truncated):
        return answer._replace(body=answer.body[: len(answer.body) // 2])
    if isinstance(fault, Drifting) and answer.status == 200:
        return answer._replace(body=drift(answer.body, fault))
    if isinstance(fault, OnlyDigest) and answer.status == 200 and digest != fault.digest:
        return invalid(UNIFORM)
    return answer
