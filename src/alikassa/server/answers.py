"""Answers as the endpoint gives them, and the one shape of every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alikassa.protocol.messages import INVALID, JSON, encode_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alikassa.server.correlation import Correlation

__all__ = ["Answer", "invalid", "problem"]

_HEADERS = [("content-type", JSON), ("cache-control", "no-store")]


class Answer(NamedTuple):
    """Status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def ok(cls, body: bytes) -> Answer:
        return cls(200, _HEADERS, body)

    def named(self, correlation: Correlation) -> Answer:
        """The same, with the id that the log has of its request."""
        return self._replace(headers=[*self.headers, correlation.header])


def invalid(errors: Mapping[str, Sequence[str]]) -> Answer:
    """400: something in the merchant's request is wrong, by field."""
    return Answer(400, _HEADERS, encode_errors(INVALID, errors))


def problem(
    status: int, message: str, field: str = "request", *, remedy: str, headers: Sequence[tuple[str, str]] = ()
) -> Answer:
    """Any other refusal, in the same two keys. Says nothing of the server's insides."""
    return Answer(status, [*_HEADERS, *headers], encode_errors(message, {field: [remedy]}))
