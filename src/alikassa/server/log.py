"""The server's log: structured, to stderr, without secrets. `Sign` is never handed to it."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from alikassa.errors import DatabaseError
from alikassa.ledger.asking import ASKING, fields_of
from alikassa.ledger.slow import SlowQueries
from alikassa.server.seldom import Seldom

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from alikassa.ledger.asking import Asker
    from alikassa.ledger.slow import SlowQuery
    from alikassa.server.refusals import Cause

__all__ = ["RequestLog", "configure_logging", "slow_queries", "web_server_logging"]

# Causes that wait to be worked out. When more are refused than can be looked up, some go without.
_MOST_WAITING = 256
_PAUSE_SECONDS = 0.02
# Lines a second about requests that are too many; of the others is told how many there were.
_MOST_LIMITED = 10


def configure_logging(level: int = logging.INFO) -> None:
    """JSON lines on stderr, or coloured ones when a person watches."""
    structlog.configure(
        processors=[*_common(), structlog.processors.format_exc_info, _renderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )


class _Lines(structlog.PrintLogger):
    """What cannot be written, to a full disk or a pipe that nobody reads any more, is lost: no request ends by it."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):  # the second for a file that is closed
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def web_server_logging() -> dict[str, Any]:
    """The same form for what the web server itself has to say, as a `logging` configuration."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "ours": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processor": _renderer(),
                "foreign_pre_chain": _common(),
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "ours"}},
        "loggers": {"_granian": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
    }


def _common() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_asking,
    ]


def _add_asking(_logger: object, _method: str, event: Any) -> Any:
    """Whose work the current task does, unless the line says it itself."""
    asking = ASKING.get()
    if asking and "request_id" not in event:
        event.update(fields_of(asking))
    return event


def _renderer() -> Any:
    return structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()


def slow_queries(seconds: float | None) -> SlowQueries | None:
    """Tells the log of statements that take so long; None for nobody who does."""
    return None if seconds is None else SlowQueries(seconds, _slow_query)


def _slow_query(query: SlowQuery) -> None:
    told: dict[str, object] = {"seconds": round(query.seconds, 6), "statement": query.statement}
    if query.rows is not None:
        told["rows"] = query.rows
    if query.failed:
        told["failed"] = query.failed
    structlog.get_logger("alikassa.database").warning("slow query", **told, **fields_of(query.askers))


class _Refused(NamedTuple):
    """One whose cause is to be found."""

    account: uuid.UUID
    cause: Callable[[], Awaitable[Cause]]
    tell: Callable[[Cause | None], None]
    about: Asker


class RequestLog:
    """What became of requests. Causes of refusals are worked out after the answer, in a bounded queue.

    `logger` is structlog's, or another of its kind; by default that of the server.
    """

    def __init__(self, logger: Any = None) -> None:
        self._log = structlog.get_logger("alikassa.server") if logger is None else logger
        self._waiting: asyncio.Queue[_Refused] = asyncio.Queue(_MOST_WAITING)
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False
        self._dropped = 0
        self._seldom = Seldom()
        # Of this second: lines about limited requests, and how many had none.
        self._limited_second = 0.0
        self._limited = 0
        self._limited_others = 0

    def malformed(self, errors: Mapping[str, Sequence[str]], about: Asker) -> None:
        self._log.info("malformed request", fields=sorted(errors), **fields_of([about]))

    def stale(self, account: str, reason: str, about: Asker) -> None:
        """Signed well, and not taken all the same: see `alikassa.server.freshness`."""
        self._log.info("stale", reason=str(reason), account=account, **fields_of([about]))

    def limited(self, wait: float, about: Asker) -> None:
        """One too many, which may ask again in so many seconds. Telling of each would help whoever sends them."""
        now = time.monotonic()
        if now - self._limited_second >= 1:
            self._limited_second, self._limited = now, 0
        self._limited += 1
        if self._limited > _MOST_LIMITED:
            self._limited_others += 1
            return
        others, self._limited_others = self._limited_others, 0
        self._log.info("limited", retry_after=math.ceil(wait), others=others, **fields_of([about]))

    def refused(self, account: uuid.UUID, cause: Cause, about: Asker) -> None:
        certificate = str(cause.certificate) if cause.certificate else None
        self._log.info(
            "refused", reason=cause.reason.value, account=str(account), certificate=certificate, **fields_of([about])
        )

    def refused_later(
        self,
        account: uuid.UUID,
        cause: Callable[[], Awaitable[Cause]],
        tell: Callable[[Cause | None], None],
        about: Asker,
    ) -> None:
        """As `refused`, once the cause is known. `tell` is told it too, or None when it will not be found out."""
        if self._is_closed or self._waiting.full():
            self.refused_without_cause()
            tell(None)
            return
        self._waiting.put_nowait(_Refused(account, cause, tell, about))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def refused_without_cause(self) -> None:
        """One that is only counted here."""
        self._dropped += 1

    async def _work(self) -> None:
        while True:
            account, cause, tell, about = await self._waiting.get()
            # What is asked of the database now is asked for this one.
            ASKING.set((about,))
            found = None
            try:
                found = await cause()
                self.refused(account, found, about)
            except DatabaseError as error:
                self.database_failed(error)
            except Exception:  # this log must outlive any defect in what it is told
                self.failed()
            ASKING.set(())
            tell(found)
            # Working a cause out costs ten times an answer, and strangers ask for it without a key.
            await asyncio.sleep(_PAUSE_SECONDS)
            if self._dropped and self._waiting.empty():
                self._log.warning("refusals without a cause in this log", count=self._dropped)
                self._dropped = 0

    def requests_lost(self, count: int, problem: str) -> None:
        """So many requests are missing from the log that merchants see; `problem` is the last that came of writing."""
        self._log.error("requests missing from the merchants' log", count=count, problem=problem)

    def database_failed(self, error: DatabaseError, about: Asker | None = None) -> None:
        """Once in a few seconds a kind, with how many more there were."""
        kind = type(error).__name__
        more = self._seldom.unsaid(kind)
        if more is not None:
            self._log.error("database", problem=str(error), kind=kind, more=more, **_named(about))

    def limits_uncounted(self, error: Exception) -> None:
        """The store of the limits does not answer: this worker counts by itself for a while."""
        self._log.warning("limits are counted by this worker alone", kind=type(error).__name__)

    def replica_used(self, replica: str) -> None:
        """From now on it is asked for the four numbers."""
        self._log.info("replica in use", replica=replica)

    def replica_left(self, replica: str, why: str) -> None:
        """The primary is asked in its place: it is further behind than it may be, or away."""
        self._log.warning("replica not in use", replica=replica, why=why)

    def heartbeat_failed(self) -> None:
        """A defect, with its traceback, while replicas were looked at; they are looked at again."""
        self._log.exception("replicas could not be looked at")

    def metrics_failed(self, error: OSError) -> None:
        """This process's counts are not seen by whoever scrapes, until they can be left again."""
        self._log.warning("counts for the metrics were not left", problem=error.strerror or type(error).__name__)

    def failed(self, about: Asker | None = None) -> None:
        """An unexpected exception, with its traceback; call it where the exception is handled."""
        self._log.exception("unexpected error", **_named(about))

    def serving(self, url: str, workers: int) -> None:
        self._log.info("serving", url=url, workers=workers)

    def stopped(self) -> None:
        self._log.info("stopped")

    async def close(self) -> None:
        """No more causes are worked out."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


def _named(about: Asker | None) -> dict[str, object]:
    return {} if about is None else fields_of([about])
