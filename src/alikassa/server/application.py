"""The shell between the web server (RSGI) and the endpoint: routes, bounds, time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Protocol

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # re-exported there for applications

from alikassa.errors import DatabaseError
from alikassa.ledger.database import QUESTION_SECONDS, Database
from alikassa.ledger.reader import reader_for
from alikassa.protocol.messages import BALANCE_PATH, INVALID
from alikassa.server.answers import Answer, problem
from alikassa.server.balance import FRESH_FROM_REPLICAS, Asked, BalanceEndpoint
from alikassa.server.beat import AFTER_SECONDS
from alikassa.server.correlation import Correlation
from alikassa.server.freshness import Freshness
from alikassa.server.garbage import spare_what_stays
from alikassa.server.limits.addresses import Addresses, parse_networks
from alikassa.server.limits.limiter import Limiter, counting
from alikassa.server.limits.rules import Rules
from alikassa.server.log import RequestLog, configure_logging, slow_queries
from alikassa.server.metrics.leaving import LeavingTotals
from alikassa.server.metrics.worker import WorkerTotals
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.writer import RequestWriter
from alikassa.server.shared import Shared
from alikassa.server.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from alikassa.ledger.reader import AccountReader
    from alikassa.server.settings import Settings

__all__ = ["LONGEST_BODY", "Application"]

#: The largest body that is read, in bytes. The page's programs send two to four.
LONGEST_BODY = 16 * 1024


class Scope(Protocol):
    """What RSGI tells of a request, as far as it is used here."""

    method: str
    path: str
    headers: Any
    client: str


class Receiving(Protocol):
    """A body that is under way; None for one that is too large. Cancelled, whoever waits for it is told so."""

    def __await__(self) -> Generator[Any, None, bytes | None]: ...
    def done(self) -> bool: ...
    def result(self) -> bytes | None: ...
    def cancel(self) -> object: ...


class Exchange(Protocol):
    """RSGI's side of one request: the body in, the answer out."""

    def __call__(self) -> Receiving: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class _TooLateError(Exception):
    """The body did not arrive in its time."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked


class Application:
    """One worker's application. It opens its database when its event loop starts.

    Elsewhere than in a worker, `serve_from` takes the place of `start`: with a database that is open already.
    """

    def __init__(self, settings: Settings, log: RequestLog | None = None) -> None:
        self._settings = settings
        self._log = RequestLog() if log is None else log
        addresses = Addresses(parse_networks(settings.trusted_proxy))
        self._recorder = self._new_recorder(addresses)
        self._counts = self._recorder.counts
        #: Requests that have arrived and are not answered yet.
        self.in_flight = 0
        self._limiter = _limiter(settings, addresses, self._limits_uncounted)
        self._enters = self._limiter.enter if self._limiter is not None and self._limiter.charges_addresses else None
        # Filled by `serve_from`.
        self._database: Database
        self._endpoint: BalanceEndpoint
        self._freshness: Freshness
        self._reader: AccountReader
        self._is_ready: Shared
        self._verifier: Verifier
        # The bodies that are under way, and until when they may be, oldest first.
        self._receiving: dict[Receiving, float] = {}
        self._watches: list[asyncio.Task[None]] = []
        # In a worker, where merchants will look at what was recorded.
        self._requests: RequestWriter | None = None
        self._leaving: LeavingTotals | None = None

    def _new_recorder(self, addresses: Addresses) -> Recorder:
        return Recorder(addresses)

    def _new_endpoint(self, *parts: Any) -> BalanceEndpoint:
        return BalanceEndpoint(*parts)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        configure_logging()
        loop.run_until_complete(self.start())
        spare_what_stays()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self.stop())

    async def start(self) -> None:
        # Unseen: the process that started this one has seen it. If it is away at this moment, that is answered
        # request by request; a worker that would not start then would take the whole server with it.
        slow = slow_queries(self._settings.slow_seconds)
        database = Database.attach(self._settings.database, slow, seconds=QUESTION_SECONDS)
        reader = self._reader_of(database)
        if slow is not None:
            reader.counts.watches += (slow,)
        self.serve_from(database, reader)
        self._requests = RequestWriter(database, self._recorder, self._log)
        self._requests.start()
        if self._settings.metrics_folder is not None:
            self._leaving = LeavingTotals(
                self._settings.metrics_folder,
                WorkerTotals(self, self._recorder, self._verifier, self._reader).gather,
                self._log.metrics_failed,
            )
            self._leaving.start()
        self._watches.append(asyncio.get_running_loop().create_task(self._end_with_parent()))

    def _reader_of(self, database: Database) -> AccountReader:
        replicas = self._settings.replicas
        if not replicas.urls:
            return reader_for(database)
        # Only for whoever has some: it is more to load.
        from alikassa.ledger.replicas.reader import ReplicaReader

        # What was read may wait for its request's body.
        return ReplicaReader(database.address, replicas, replicas.staleness - FRESH_FROM_REPLICAS, watch=self._log)

    def serve_from(self, database: Database, reader: AccountReader) -> None:
        """Answer from these books from now on, in the running event loop. `stop` closes both."""
        self._database = database
        self._reader = reader
        # All who ask share one look: it takes a connection, and anybody may ask.
        self._is_ready = Shared(reader.ping)
        self._freshness = Freshness(database)
        self._verifier = Verifier()
        self._endpoint = self._new_endpoint(
            *(database, reader, self._verifier, self._log, self._settings.errors, self._recorder, self._freshness),
            self._limiter,
            FRESH_FROM_REPLICAS if self._settings.replicas.urls else None,
        )
        self._watches.append(asyncio.get_running_loop().create_task(self._end_stalled()))

    async def stop(self) -> None:
        for watch in self._watches:
            watch.cancel()
        # What was refused last is still to be told, to the log of requests and to traces.
        await asyncio.sleep(2 * AFTER_SECONDS)
        await self._log.close()
        await self._freshness.close()
        if self._requests is not None:
            await self._requests.close()
        if self._leaving is not None:
            await self._leaving.close()
        await self._reader.close()
        await self._database.close()

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        asked: Asked | None = None
        self.in_flight += 1
        try:
            if scope.path != BALANCE_PATH or scope.method != "POST":
                correlation = Correlation(scope.headers.get_all("traceparent"))
                answer = (await self._elsewhere(scope, correlation)).named(correlation)
            elif (length := scope.headers.get("content-length")) is not None and int(length) > LONGEST_BODY:
                self._endpoint.too_large(asked := Asked(scope.headers, scope))
                answer = _too_large().named(asked.correlation)
            elif self._enters is not None and (wait := self._enters(entering := Asked(scope.headers, scope))):
                # What it sends is not read: the next one comes over a new connection.
                answer = self._endpoint.limited(entering, wait, headers=[_CLOSE]).named(entering.correlation)
            else:
                receiving = asyncio.ensure_future(_gather(exchange)) if length is None else exchange()
                asked = self._endpoint.begin(scope.headers, scope)
                if asked.reading is not None:
                    try:  # noqa: SIM105 - a context manager would cost as much as all that follows
                        await asked.reading
                    except DatabaseError:
                        pass  # `answer` looks at it again
                # By now most bodies have arrived, and need no waking up from another thread.
                body = receiving.result() if receiving.done() else await self._body(receiving, asked)
                if body is None:
                    self._endpoint.too_large(asked)
                    answer = _too_large().named(asked.correlation)
                else:
                    answer = self._endpoint.at_once(asked, body) or (await self._endpoint.answer(asked, body)).named(
                        asked.correlation
                    )
        except _TooLateError as late:
            answer = _too_late(self._settings.body_seconds).named(late.asked.correlation)
        except ProtocolClosed:
            answer = self._cut_off(asked)
        except Exception:
            answer = self._failed(scope, asked)
        finally:
            self.in_flight -= 1
        exchange.response_bytes(*answer)

    def _cut_off(self, asked: Asked | None) -> Answer:
        """Whoever asked is gone, or has closed only his own side before the body was whole."""
        self._counts.gone += 1
        remedy = "The body broke off. Send as many bytes as Content-Length says."
        answer = problem(400, INVALID, "body", remedy=remedy, headers=[_CLOSE])
        if asked is None:
            return answer
        self._endpoint.cut_off(asked)
        return answer.named(asked.correlation)

    def _failed(self, scope: Scope, asked: Asked | None) -> Answer:
        correlation = Correlation(scope.headers.get_all("traceparent")) if asked is None else asked.correlation
        self._log.failed(correlation)
        if asked is not None:
            self._endpoint.failed(asked)
        answer = problem(500, "Something went wrong here.", remedy="Send the request again; we are told of it.")
        return answer.named(correlation)

    async def _body(self, receiving: Receiving, asked: Asked) -> bytes | None:
        """The body that is under way, waited for at most `body_seconds`."""
        self._receiving[receiving] = asked.begun + self._settings.body_seconds
        try:
            return await receiving
        except asyncio.CancelledError:
            if receiving in self._receiving:
                raise
            self._endpoint.too_late(asked)
            raise _TooLateError(asked) from None
        finally:
            self._receiving.pop(receiving, None)

    async def _elsewhere(self, scope: Scope, correlation: Correlation) -> Answer:
        if scope.path == BALANCE_PATH:
            return _not_allowed("POST")
        if scope.path in ("/healthz", "/readyz"):
            if scope.method not in ("GET", "HEAD"):
                return _not_allowed("GET, HEAD")
            return Answer.ok(b'{"status":"ok"}') if scope.path == "/healthz" else await self._ready(correlation)
        return problem(404, "There is nothing here.", remedy=f"The balance is asked for at POST {BALANCE_PATH}.")

    async def _end_stalled(self) -> None:
        """One watch for all bodies: a timer a request would cost more than the rest of the shell."""
        while True:
            await asyncio.sleep(min(self._settings.body_seconds / 10, 1.0))
            now = time.monotonic()
            for receiving, until in list(self._receiving.items()):
                if until > now:
                    break
                del self._receiving[receiving]
                receiving.cancel()

    async def _end_with_parent(self) -> None:
        """End this worker when the process that started it is gone: nobody else would, and it would keep the port."""
        parent = os.getppid()
        while True:
            await asyncio.sleep(1.0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _limits_uncounted(self, error: Exception) -> None:
        self._counts.limits_uncounted += 1
        self._log.limits_uncounted(error)

    async def _ready(self, correlation: Correlation) -> Answer:
        try:
            await self._is_ready()
        except DatabaseError as error:
            self._log.database_failed(error, correlation)
            return problem(503, "Not ready.", remedy="The database does not answer.", headers=[("retry-after", "1")])
        return Answer.ok(b'{"status":"ready"}')


async def _gather(exchange: Exchange) -> bytes | None:
    """A body without a stated length: chunked, or none at all. None when it is too large.

    One that breaks off ends here as if it were whole; what is cut off, its signature does not match.
    """
    body = bytearray()
    async for chunk in exchange:
        body += chunk
        if len(body) > LONGEST_BODY:
            return None
    return bytes(body)


def _limiter(settings: Settings, addresses: Addresses, uncounted: Callable[[Exception], None]) -> Limiter | None:
    """None when nothing is limited."""
    rules = settings.limits
    if rules == Rules():
        return None
    return Limiter(rules, counting(settings.limit_store, uncounted), addresses)


def _too_large() -> Answer:
    return problem(
        413, "The body is too large.", "body", remedy=f"Send at most {LONGEST_BODY} bytes.", headers=[_CLOSE]
    )


def _too_late(seconds: float) -> Answer:
    return problem(
        408,
        "The body did not arrive in time.",
        "body",
        remedy=f"Send the whole body within {seconds:g} s.",
        headers=[_CLOSE],
    )


def _not_allowed(methods: str) -> Answer:
    return problem(405, "This method is not for this address.", remedy=f"Use {methods}.", headers=[("allow", methods)])


# What is left of a refused body is not read.
_CLOSE = ("connection", "close")
