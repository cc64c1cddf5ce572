"""`POST /v1/account/balance`, without a web framework: headers, then a body, give status, headers and a body."""

from __future__ import annotations

import asyncio
import math
import re
import time
import uuid
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.clock import now
from alikassa.errors import DatabaseError, InvalidInputError
from alikassa.protocol.freshness import Stamp
from alikassa.protocol.messages import JSON, encode_balance
from alikassa.protocol.signatures import decode_sign
from alikassa.server.answers import Answer, invalid, problem
from alikassa.server.beat import AFTER_SECONDS, next_beat
from alikassa.server.correlation import Correlation
from alikassa.server.freshness import Freshness, Refusal, Stale
from alikassa.server.refusals import UNIFORM, Cause, Reason, find_cause
from alikassa.server.requests.kept import CUT_OFF, TOO_LARGE, TOO_LATE, Outcome
from alikassa.server.requests.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alikassa.ledger.database import Database
    from alikassa.ledger.reader import AccountReader, ActiveCertificate, Standing
    from alikassa.server.limits.addresses import Headers
    from alikassa.server.limits.limiter import Limiter
    from alikassa.server.log import RequestLog
    from alikassa.server.verification import Verified, Verifier

__all__ = ["FRESH_FROM_REPLICAS", "FRESH_SECONDS", "Asked", "BalanceEndpoint", "Errors"]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)

#: How old what was read may be when the body is there, in seconds. Under load that is time spent waiting for the
#: processor: to read once more would double the work when there is least room for it.
FRESH_SECONDS = 1.0
#: The same where replicas answer: their numbers are as old again.
FRESH_FROM_REPLICAS = 0.25


class Errors(StrEnum):
    """How much a refusal at the signature says: the same for every cause, or the cause."""

    UNIFORM = "uniform"
    EXPLAIN = "explain"


class Asked:
    """A request whose headers have arrived. The account is being read while the body is on its way.

    `scope` is what else the web server knows of it; `named` is what it is called in the log, once it is called that.
    """

    __slots__ = ("account", "accounts", "begun", "headers", "named", "reading", "scope", "sign", "signs", "types")

    def __init__(self, headers: Headers, scope: object = None) -> None:
        # First: what follows takes longer for an account that was not named before.
        self.begun = time.monotonic()
        self.headers = headers
        self.scope = scope
        self.accounts = headers.get_all("account")
        self.signs = headers.get_all("sign")
        self.types = headers.get_all("content-type")
        self.account = _account(self.accounts[0]) if len(self.accounts) == 1 else ""
        self.sign = self.signs[0] if len(self.signs) == 1 else ""
        self.reading: asyncio.Future[Standing | None] | None = None
        self.named: Correlation | None = None

    @property
    def correlation(self) -> Correlation:
        found = self.named
        if found is None:
            # When it came: when its account had been read is no stranger's business.
            at = now() - timedelta(seconds=time.monotonic() - self.begun)
            found = self.named = Correlation(self.headers.get_all("traceparent"), self.span, at)
        return found

    @property
    def span(self) -> Any:
        return getattr(self.scope, "span", None)

    @property
    def request_id(self) -> str:
        return self.correlation.request_id

    @property
    def trace_id(self) -> str:
        return self.correlation.trace_id

    def drop(self) -> None:
        """Nobody will ask what was read."""
        if self.reading is not None:
            self.reading.cancel()


class BalanceEndpoint:
    """Answers the balance request from the books: `begin` with the headers, `answer` with the body.

    The reads of requests that wait at the same moment are joined by `reader`; certificates come with the same
    read, so that a revocation holds from the next request on. What became of each request is told to `recorder`.
    """

    def __init__(
        self,
        database: Database,
        reader: AccountReader,
        verifier: Verifier,
        log: RequestLog,
        errors: Errors,
        recorder: Recorder | None = None,
        freshness: Freshness | None = None,
        limiter: Limiter | None = None,
        fresh_seconds: float | None = None,
    ) -> None:
        self._fresh_seconds = FRESH_SECONDS if fresh_seconds is None else fresh_seconds
        self._database = database
        self._reader = reader
        self._verifier = verifier
        self._log = log
        self._errors = errors
        self._recorder = recorder or Recorder()
        self._counted = self._recorder.counted
        self._counts = self._recorder.counts
        self._answered = self._counts.answered
        self._times = self._answered.buckets
        self._freshness = freshness or Freshness(database)
        self._limiter = limiter
        self._signed = limiter.signed if limiter is not None and limiter.charges_signers else None

    def begin(self, headers: Headers, scope: object = None) -> Asked:
        """Take the headers, and read the account they name. What is read then lies within the request's time."""
        asked = Asked(headers, scope)
        if asked.account and asked.sign:
            asked.reading = self._reader.find(asked.account, asked)
        return asked

    def at_once(self, asked: Asked, body: bytes) -> Answer | None:
        """The answer when nothing is left to find out: the account has been read, the signature is known.

        None otherwise, and whenever anything is unusual: `answer` sees to that.
        """
        known = self._verifier.look_up(asked.sign, body)
        reading = asked.reading
        took = time.monotonic() - asked.begun
        if known is None or reading is None or took >= self._fresh_seconds or asked.types != [JSON]:
            return None
        if self._signed is not None or reading.exception():
            return None
        standing = reading.result()
        if standing is None or standing.requires_fresh or not known.holds(standing.certificates):
            return None
        tally = self._counted.get(asked.account)
        if tally is not None and tally.known is known:
            tally.more += 1
            # As `Spread.add_seconds`: a call would cost twice as much.
            self._times[int(took * 1e6).bit_length()] += 1
            self._answered.total += took
        else:
            self._recorder.ok(asked, known)
        return _balance(standing)

    async def answer(self, asked: Asked, body: bytes) -> Answer:
        about = asked.correlation
        known = self._verifier.look_up(asked.sign, body)
        if known is None or not asked.account or asked.types != [JSON]:
            errors = _malformed(asked.accounts, asked.signs, asked.types)
            if errors:
                asked.drop()
                self._log.malformed(errors, about)
                self._recorder.malformed(asked, errors)
                return invalid(errors)
        try:
            standing = await self._standing(asked)
            if known is None or standing is None or standing.requires_fresh or not known.holds(standing.certificates):
                found = await self._verify(asked, body, standing)
                if isinstance(found, Answer):
                    return found
                known = found
            elif self._signed is not None and (wait := self._signed(asked, known.certificate)):
                return self.limited(asked, wait)
        except DatabaseError as error:
            self._log.database_failed(error, about)
            self._recorder.ended(asked, Outcome.UNAVAILABLE, 503)
            return problem(
                503,
                "The service is temporarily unavailable.",
                remedy="Nothing is wrong with the request. Send it again.",
                headers=[("retry-after", "1")],
            )
        assert standing is not None  # noqa: S101 - who is verified has a certificate, hence an account
        self._recorder.ok(asked, known)
        return _balance(standing)

    async def _verify(self, asked: Asked, body: bytes, standing: Standing | None) -> Verified | Answer:
        """Who signed, when that is not known or not enough; or the refusal. Whoever signed has been charged then."""
        if self._limiter is not None and (wait := self._limiter.verify(asked)):
            asked.drop()
            return self.limited(asked, wait)
        signature = decode_sign(asked.sign)
        verified = self._check(asked, standing.certificates if standing else (), signature, body)
        if verified is None or standing is None:
            self._charge_failed(asked)
            return await self._refuse(asked, signature, body, stranger=standing is None)
        value, wrong = _json(body)
        if wrong:
            self._charge_failed(asked)
            self._log.malformed({"body": [wrong]}, asked.correlation)
            self._recorder.malformed(asked, ("body",), verified)
            return invalid({"body": [wrong]})
        stamp = self._freshness.read(value, asked.account, required=standing.requires_fresh)
        # After a stamp's time, so that nobody uses up a merchant's share with what was sent long ago; before its nonce,
        # which is a commit, so that nobody makes more of them than that share.
        signed = None if isinstance(stamp, Refusal) else self._signed
        if signed is not None and (wait := signed(asked, verified.certificate)):
            return self.limited(asked, wait)
        stale = await self._freshness.claim(stamp, verified.certificate) if isinstance(stamp, Stamp) else stamp
        if stale is not None:
            # A certificate that has used up its nonces does not fail: it is told to wait already.
            if stale.reason is not Stale.TOO_MANY_NONCES:
                self._charge_failed(asked)
            self._log.stale(asked.account, stale.reason, asked.correlation)
            self._recorder.stale(asked, stale, verified)
            return stale.answer
        # What is good once is not known the second time.
        if stamp is None:
            self._verifier.remember(verified, asked.sign, body)
        return verified

    def _charge_failed(self, asked: Asked) -> None:
        if self._limiter is not None:
            self._limiter.failed(asked)

    def _check(
        self, _asked: Asked, certificates: Sequence[ActiveCertificate], signature: bytes, body: bytes
    ) -> Verified | None:
        return self._verifier.verify(certificates, signature, body)

    def limited(self, asked: Asked, wait: float, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """One too many: 429, and in how many seconds to ask again."""
        self._log.limited(wait, asked.correlation)
        self._recorder.ended(asked, Outcome.LIMITED, 429)
        return problem(
            429,
            "Too many requests.",
            remedy="Nothing else is wrong. Ask again after the seconds in Retry-After, and less often.",
            headers=[("retry-after", str(math.ceil(wait))), *headers],
        )

    def too_large(self, asked: Asked) -> None:
        """Its body was more than is read."""
        self._unread(asked, 413, TOO_LARGE)

    def too_late(self, asked: Asked) -> None:
        """Its body did not arrive in time."""
        self._unread(asked, 408, TOO_LATE)

    def cut_off(self, asked: Asked) -> None:
        """Its body broke off."""
        self._unread(asked, 400, CUT_OFF)

    def _unread(self, asked: Asked, status: int, reason: str) -> None:
        asked.drop()
        self._recorder.ended(asked, Outcome.MALFORMED, status, reason)

    def failed(self, asked: Asked) -> None:
        """Something unexpected came of it."""
        self._recorder.ended(asked, Outcome.ERROR, 500)

    def _standing(self, asked: Asked) -> asyncio.Future[Standing | None]:
        reading = asked.reading
        is_fresh = time.monotonic() - asked.begun < self._fresh_seconds
        if reading is not None and (is_fresh or _has_failed(reading)):
            # One that failed after long is not tried again: whoever asks has waited enough, and is told.
            return reading
        # The body took its time, and what was read when it began is history.
        asked.drop()
        return self._reader.find(asked.account, asked)

    async def _refuse(self, asked: Asked, signature: bytes, body: bytes, *, stranger: bool) -> Answer:
        account = uuid.UUID(asked.account)
        if self._errors is Errors.UNIFORM:
            await next_beat(asked.begun)
            # The answer first: what is looked up and kept for the logs must not show in its time.
            asyncio.get_running_loop().call_later(
                AFTER_SECONDS, self._refused, asked, account, signature, body, stranger
            )
            return invalid(UNIFORM)
        found = await find_cause(self._database, account, signature, body)
        self._log.refused(account, found, asked.correlation)
        self._counts.cause(found.reason.value)
        kept = self._recorder.refused(asked, stranger=found.reason is Reason.UNKNOWN_ACCOUNT)
        if kept is not None:
            kept.explain(found.reason.value, found.certificate, found.digest)
        return invalid({found.field: [found.text]})

    def _refused(self, asked: Asked, account: uuid.UUID, signature: bytes, body: bytes, stranger: bool) -> None:  # noqa: FBT001 - a callback's
        kept = self._recorder.refused(asked, stranger=stranger)
        if kept is None:
            self._log.refused_without_cause()
            self._counts.cause(Reason.UNKNOWN_ACCOUNT.value if stranger else "")
            return

        async def cause() -> Cause:
            return await find_cause(self._database, account, signature, body)

        def tell(found: Cause | None) -> None:
            if found is None:
                kept.explain(kept.reason)
                self._counts.cause(kept.reason)
            else:
                self._counts.cause(found.reason.value)
                kept.explain(found.reason.value, found.certificate, found.digest)

        self._log.refused_later(account, cause, tell, asked.correlation)


def _has_failed(reading: asyncio.Future[Standing | None]) -> bool:
    return reading.done() and not reading.cancelled() and reading.exception() is not None


def _balance(standing: Standing) -> Answer:
    # Made once for each reading of the account, however many ask.
    answer: Answer | None = standing.answer
    if answer is None:
        answer = standing.answer = Answer.ok(
            encode_balance(
                standing.currency,
                standing.balance,
                standing.hold,
                standing.rolling_reserve,
                standing.pending_payouts,
            )
        )
    return answer


@lru_cache(maxsize=65_536)
def _account(text: str) -> str:
    """The uuid as it stands in the books, in small letters, or "" when it is none."""
    small = text.lower()
    return small if _UUID.fullmatch(small) else ""


def _malformed(accounts: list[str], signs: list[str], types: list[str]) -> dict[str, list[str]]:
    """What is wrong with the headers themselves, by field; nothing that depends on the books."""
    errors: dict[str, list[str]] = {}
    text = _once("Account", accounts, "your account's uuid")
    if not text and not _account(accounts[0]):
        text = "The Account header is not a uuid. Send 8-4-4-4-12 hexadecimal digits, without braces."
    if text:
        errors["account"] = [text]
    text = _once("Sign", signs, "the base64 of the body's signature")
    if not text:
        try:
            decode_sign(signs[0])
        except InvalidInputError as error:
            text = f"The Sign header {error}."
    if text:
        errors["sign"] = [text]
    text = _once("Content-Type", types, JSON)
    if not text and types[0].partition(";")[0].strip(" \t").lower() != JSON:
        text = f"The Content-Type header is not {JSON}. Send Content-Type: {JSON}."
    if text:
        errors["content_type"] = [text]
    return errors


def _once(name: str, values: list[str], what: str) -> str:
    if not values or not values[0]:
        return f"The {name} header is missing or not plain ASCII. Send {what} in it."
    if len(values) > 1:
        return f"The {name} header was sent {len(values)} times. Send it once."
    return ""


def _json(body: bytes) -> tuple[object, str]:
    """The body decoded, and what is wrong with it, if something is."""
    try:
        return msgspec.json.decode(body), ""
    except RecursionError:
        return None, "The body is nested too deeply. Send {}."
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, "The body is not JSON. Send {} and sign those two bytes."
