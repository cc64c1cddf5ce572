"""Whose work is being done: the requests that a statement, a read or a batch serves."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ASKING", "MOST_NAMED", "Asker", "fields_of"]

#: Requests that are named one by one; of more only the number is told.
MOST_NAMED = 8


class Asker(Protocol):
    """A request, as logs and traces name it."""

    @property
    def request_id(self) -> str: ...

    @property
    def trace_id(self) -> str:
        """Its trace, 32 hexadecimal digits, or ""."""
        ...

    @property
    def span(self) -> Any:
        """Its span, if it is traced."""
        ...


#: Whose work the current task does, as far as that is known. A task that lives longer than what began it sets its own.
ASKING: ContextVar[Sequence[Asker]] = ContextVar("asking", default=())


def fields_of(askers: Sequence[Asker]) -> dict[str, object]:
    """The fields that name them in a line of the log."""
    if len(askers) > MOST_NAMED:
        return {"requests": len(askers)}
    if len(askers) > 1:
        return {"request_ids": [one.request_id for one in askers]}
    return {
        name: value
        for one in askers
        for name, value in (("request_id", one.request_id), ("trace_id", one.trace_id))
        if value
    }
