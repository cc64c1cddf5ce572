"""What the writer asks the database, for tests that look at how the database goes about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from books_story import tell_story

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["asked_in_the_story"]


async def asked_in_the_story(database: Database) -> dict[str, Any]:
    """Each statement of the writer's while every command is booked, with the values that it first had."""
    engine, asked = database._writer_engine.sync_engine, dict[str, Any]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        asked.setdefault(statement, parameters[0] if many else parameters)

    event.listen(engine, "before_cursor_execute", note)
    await tell_story(database)
    event.remove(engine, "before_cursor_execute", note)
    return asked
