"""Statements that took long: how they are found, and what is told of them. Never a parameter, which may be anything."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import event

from alikassa.ledger.asking import ASKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncEngine

    from alikassa.ledger.asking import Asker

__all__ = ["COMMIT", "JOINED_READ", "SlowQueries", "SlowQuery"]

#: What has no text of its own: a read that requests share, in as many statements as its engine needs, and a commit.
JOINED_READ = "read of balances"
COMMIT = "COMMIT"
_LONGEST_TEXT = 1000
# The driver's own form of a statement is what the events bring: parameters stand apart from it, as marks.
_BEGUN = "alikassa_begun"


class SlowQuery(NamedTuple):
    """`statement` is its text, cut, or its name; `rows` is None where that is not known; `failed` is an error's type,
    "" for none."""

    statement: str
    seconds: float
    rows: int | None
    failed: str
    askers: Sequence[Asker]


class SlowQueries:
    """Tells of every statement that takes `seconds` or longer; 0 for all. One that cannot be told of is not."""

    def __init__(self, seconds: float, tell: Callable[[SlowQuery], None]) -> None:
        self._seconds = seconds
        self._tell = tell

    def took(
        self,
        statement: str,
        begun: float,
        rows: int | None = None,
        error: BaseException | None = None,
        askers: Sequence[Asker] | None = None,
    ) -> None:
        """One has ended, which began then by the monotonic clock; for those who wait for it, or the current task's."""
        seconds = time.monotonic() - begun
        if seconds < self._seconds:
            return
        failed = "" if error is None else type(error).__name__
        text = " ".join(statement.split())
        if len(text) > _LONGEST_TEXT:
            text = f"{text[:_LONGEST_TEXT]} ..."
        # A log that cannot be written must not end the transaction that it is about.
        with suppress(Exception):
            self._tell(SlowQuery(text, seconds, rows, failed, ASKING.get() if askers is None else askers))

    def ended(self, askers: Sequence[Asker], begun: float, rows: int | None, error: Exception | None) -> None:
        """A joined read, see `alikassa.ledger.counts.ReadWatch`."""
        self.took(JOINED_READ, begun, rows, error, askers)

    def listen(self, engine: AsyncEngine) -> None:
        """Look at all statements of this engine. Its commits are told by whoever makes them."""

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def before(
            connection: sa.Connection, _cursor: Any, _statement: str, _parameters: Any, _context: Any, _many: object
        ) -> None:
            connection.info[_BEGUN] = time.monotonic()

        @event.listens_for(engine.sync_engine, "after_cursor_execute")
        def after(
            connection: sa.Connection, cursor: Any, statement: str, _parameters: Any, _context: Any, _many: object
        ) -> None:
            begun = connection.info.pop(_BEGUN, None)
            if begun is not None:
                self.took(statement, begun, cursor.rowcount if cursor.rowcount >= 0 else None)

        @event.listens_for(engine.sync_engine, "handle_error")
        def failed(context: sa.engine.ExceptionContext) -> None:
            begun = None if context.connection is None else context.connection.info.pop(_BEGUN, None)
            if begun is not None and context.statement is not None:
                # The driver's own behind the one that it is told as.
                error = context.original_exception
                self.took(context.statement, begun, error=error.__cause__ or error)
