"""What is wrong, in the order in which it was found."""

from __future__ import annotations

import uuid

import msgspec

__all__ = ["MOST_KEPT", "Problem", "Problems"]

#: Once the books are wrong, they may be so everywhere: the first ones say where to look.
MOST_KEPT = 100


class Problem(msgspec.Struct, frozen=True):
    """`sequence` is the entry that it was found at, None when it is about the account as it stands; `account` is
    None when it is about no single account."""

    account: uuid.UUID | None
    sequence: int | None
    what: str

    def __str__(self) -> str:
        if self.account is None:
            return self.what
        entry = "" if self.sequence is None else f", entry {self.sequence}"
        return f"Account {self.account}{entry}: {self.what}"


class Problems:
    """Counts all, keeps the first `MOST_KEPT`."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def add(self, account: uuid.UUID | None, sequence: int | None, what: str) -> None:
        self.count += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Problem(account, sequence, what))
