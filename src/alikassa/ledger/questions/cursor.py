"""Where a page of an answer ended, as text that the caller gives back and need not understand."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

import msgspec

from alikassa.errors import InvalidInputError
from alikassa.ledger.commands import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_cursor", "write_cursor"]

Position = TypeVar("Position", bound=msgspec.Struct)

_DIGEST = 8
_LONGEST = 1024


def write_cursor(question: Iterable[object], position: msgspec.Struct) -> str:
    """`question` is everything that must be the same when the cursor comes back."""
    return _encode(_digest(question) + msgspec.json.encode(position))


def read_cursor(text: str, question: Iterable[object], shape: type[Position]) -> Position:
    """The position, or InvalidInputError when this is no cursor of this question."""
    try:
        if len(text) > _LONGEST:
            raise ValueError
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if _encode(raw) != text or raw[:_DIGEST] != _digest(question):
            raise ValueError
        return msgspec.json.decode(raw[_DIGEST:], type=shape)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidInputError(
            "The cursor is not one of this question.",
            remedy="Give back the cursor of the page before, and ask the same; or begin without one.",
        ) from None


def _digest(question: Iterable[object]) -> bytes:
    return content_hash(str(one) for one in question)[:_DIGEST]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
