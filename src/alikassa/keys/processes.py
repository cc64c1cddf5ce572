"""What must not be shared by a process and the children that it forks: sessions, connections, held locks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PerProcess"]

T = TypeVar("T")

# How many forks lie between this process and the one that loaded this module. Not the process id: a grandchild may get
# the id of an ancestor that has ended.
_generation = 0


def _next() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_next)


class PerProcess(Generic[T]):
    """Something that is made anew in each process that uses it.

    A child keeps its parent's untouched and unused: to close it there could end it for the parent, too.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """This process's own."""
        found = self._made.get(_generation)
        # `setdefault` is one step: two threads that meet here get the same one.
        return self._made.setdefault(_generation, self._make()) if found is None else found

    def of_parents(self) -> list[T]:
        """What the processes have that this one comes from."""
        return [made for generation, made in self._made.items() if generation != _generation]
