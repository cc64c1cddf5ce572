"""Errors of other people's libraries, without what their variables held."""

from __future__ import annotations

__all__ = ["drop_frames"]


def drop_frames(error: BaseException) -> None:
    """Its chain keeps each error and its text but none of the frames: their variables hold headers and credentials,
    and some tools print variables."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
