"""What holds of every parser's refusal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.errors import AlikassaError

__all__ = ["see_refusal"]

#: A refusal is for people to read: more than this comes from the input. Import files tell a hundred problems at once.
LONGEST = 2_000
# Shorter pieces of a secret stand in a refusal by chance.
_PIECE = re.compile(rb"[A-Za-z0-9+/=_-]{16,}")


def see_refusal(error: AlikassaError, secret: bytes = b"", longest: int = LONGEST) -> None:
    """It says something, within bounds, and nothing of the secret that was given."""
    text = f"{error}\n{error.remedy}\n{error!r}"
    assert str(error), "a refusal without a word"
    assert len(text) <= longest, f"a refusal of {len(text)} characters"
    for piece in _PIECE.findall(secret):
        if not _ours(piece):
            assert piece.decode("ascii") not in text, "a refusal repeats a secret"


def _ours(piece: bytes) -> bool:
    """Whether it is a word that our own texts may have."""
    return bool(re.fullmatch(rb"-*[A-Z-]*-*", piece))
