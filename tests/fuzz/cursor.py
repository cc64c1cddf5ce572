"""Where a page ended, as the caller gives it back; and times, lots and spans of time in a question."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta

import msgspec

from alikassa.clock import moment_text, parse_moment
from alikassa.errors import InvalidInputError
from alikassa.ledger.questions.cursor import read_cursor, write_cursor
from alikassa.monitor.durations import age_text, parse_duration
from alikassa.server.operator.fields import lot_key
from fuzz.oracle import see_refusal

_QUESTION = ("entries", 7)


class Position(msgspec.Struct):
    """As the questions of the books have them."""

    sequence: int
    at: datetime
    id: uuid.UUID


def seeds() -> list[bytes]:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    good = write_cursor(_QUESTION, Position(7, at, uuid.UUID(int=7))).encode()
    raw = base64.urlsafe_b64decode(good + b"=" * (-len(good) % 4))
    return [
        *(good, good[:-1], good + b"A", good + b"=", good.swapcase(), b"\xff" + raw, b"\xff" + raw[:8] + b"[]"),
        *(b"2026-01-31T12:00:00Z", b"2026-01-31", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00"),
        *(b"2026-W05-6T12Z", b"20260131T120000Z", b"2026-01-31T12:00:00.1234567+03:00:30", b"17.2", b"90s", b"400d"),
    ]


def check(data: bytes) -> None:
    """What is taken is written the same again; what is not is refused as no cursor, no time, no lot, no span."""
    # A byte 255 stands before what is still to be encoded: chance finds no base64 of a digest.
    text = base64.urlsafe_b64encode(data[1:]).decode() if data[:1] == b"\xff" else data.decode("utf-8", "replace")
    _cursor(text.rstrip("="))
    _cursor(text)
    for days in (False, True):
        _moment(text, days=days)
    try:
        assert str(lot_key(text)).partition(".")[0] == str(int(text.partition(".")[0]))
    except InvalidInputError as error:
        see_refusal(error)
    try:
        span = parse_duration(text)
    except InvalidInputError as error:
        see_refusal(error)
    else:
        assert timedelta() < span <= timedelta(days=36_500)
        assert age_text(span)


def _cursor(text: str) -> None:
    try:
        position = read_cursor(text, _QUESTION, Position)
    except InvalidInputError as error:
        see_refusal(error)
        return
    assert read_cursor(write_cursor(_QUESTION, position), _QUESTION, Position) == position


def _moment(text: str, *, days: bool) -> None:
    try:
        moment = parse_moment(text, days=days)
    except InvalidInputError as error:
        see_refusal(error)
        return
    assert moment.tzinfo is UTC
    assert parse_moment(moment_text(moment)) == moment
    assert len(moment_text(moment)) == len("2026-01-31T12:00:00.000000Z")
