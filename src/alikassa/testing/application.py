"""The server's own application over the sandbox's books and clock, with faults before it and a record behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import structlog
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # re-exported there for applications

from alikassa.errors import InvalidInputError
from alikassa.ledger.reader import reader_for
from alikassa.protocol.messages import BALANCE_PATH
from alikassa.protocol.signatures import decode_sign, signed_digest
from alikassa.server.answers import invalid, problem
from alikassa.server.application import LONGEST_BODY, Application
from alikassa.server.log import RequestLog
from alikassa.server.refusals import UNIFORM
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


def _log() -> RequestLog:
    """The server's log, to `logging`: a sandbox prints nothing into the output of a test."""
    return RequestLog(
        structlog.wrap_logger(
            logging.getLogger("alikassa.testing"),
            processors=[structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
    )


class SandboxApplication:
    """Answers as `alikassa serve` does. `keys` gives the public keys of an account's merchant, for the record.

    Make it in a running event loop. `stop` closes the database.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        now: Clock,
        faults: FaultList,
        record: Record,
        keys: Callable[[str], Sequence[RSAPublicKey]],
    ) -> None:
        self.reader: AccountReader = reader_for(database, now)
        self._server = Application(settings, _log())
        self._server.serve_from(database, self.reader)
        self._body_seconds = settings.body_seconds
        self._faults = faults
        self._record = record
        self._keys = keys

    async def stop(self) -> None:
        await self._server.stop()

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """One request: the fault that is next for its account, or the server's true answer."""
        account = (request.headers.get("account") or "").lower()
        fault = self._faults.take(account) if request.path == BALANCE_PATH else None
        exchange.fault = fault
        if isinstance(fault, _REPLACING):
            answer = _in_place(fault)
            whole = await self._read(exchange)
            if answer is not None:
                if not whole:
                    answer = answer._replace(headers=[*answer.headers, ("connection", "close")])
                exchange.response_bytes(*answer)
        else:
            await self._server.__rsgi__(request, exchange)  # type: ignore[arg-type] # an exchange is one, RSGI's names aside
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

    async def _read(self, exchange: Exchange) -> bool:
        """The body, for the record; as much of it as the server would take, in its time. Whether it is whole."""
        with contextlib.suppress(TimeoutError, ProtocolClosed):
            async with asyncio.timeout(self._body_seconds):
                async for _ in exchange:
                    if len(exchange.body) > LONGEST_BODY:
                        return False
                return True
        return False

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
