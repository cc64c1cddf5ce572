"""What ties an answer to the lines of the log about its request: an id of ours, and the caller's trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alikassa.clock import now
from alikassa.ledger.ids import ordered_uuid

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["REQUEST_ID", "Correlation", "trace_id_of"]

#: The header of every answer that is not the balance told at once.
REQUEST_ID = "x-request-id"

# Longer ones are no trace context: https://www.w3.org/TR/trace-context/ bounds version 00 to 55 characters, and a
# later version may add to them.
_LONGEST = 256
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Correlation:
    """One request's. Made when it is first needed, so that the quickest answers go without.

    `traceparent` are the values of that header. A request that is traced here has a `span`, which says more. The id
    tells when the request came: `at`, or now.
    """

    __slots__ = ("id", "span", "trace_id")

    def __init__(self, traceparent: Sequence[str] = (), span: Any = None, at: datetime | None = None) -> None:
        self.id: uuid.UUID = ordered_uuid(at or now())
        self.span = span
        self.trace_id = trace_id_of(traceparent) if span is None else format(span.get_span_context().trace_id, "032x")

    @property
    def request_id(self) -> str:
        return str(self.id)

    @property
    def header(self) -> tuple[str, str]:
        return REQUEST_ID, str(self.id)


def trace_id_of(values: Sequence[str]) -> str:
    """The trace id in the values of `traceparent`; "" for anything that is not one well-formed value."""
    if len(values) != 1 or len(values[0]) > _LONGEST:
        return ""
    found = _PARENT.fullmatch(values[0])
    if found is None:
        return ""
    version, trace, span, more = found.groups()
    if trace == _NO_TRACE or span == _NO_SPAN or (version == "00" and more):
        return ""
    return str(trace)
