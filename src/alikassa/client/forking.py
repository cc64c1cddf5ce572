"""What a forked child must not share with its parent: connections, and locks that another thread held."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Protocol

__all__ = ["Forked", "follow_forks", "start_afresh"]


class Forked(Protocol):
    """Something that starts afresh in a child process."""

    def after_fork(self) -> None: ...


_log = logging.getLogger("alikassa")
_followers: weakref.WeakSet[Forked] = weakref.WeakSet()


def follow_forks(one: Forked) -> None:
    """Call `one.after_fork()` in every child process, for as long as `one` lives."""
    _followers.add(one)


def start_afresh(one: object) -> None:
    """Tell it of the fork, if it wants to be told."""
    told = getattr(one, "after_fork", None)
    if callable(told):
        told()


def _tell_all() -> None:
    # Only the thread that forked lives on in the child, so nobody races.
    for one in list(_followers):
        try:
            one.after_fork()
        except Exception:  # a transport of the program's own
            _log.warning("a client was not made afresh after a fork", exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_all)
