"""All that the operator's process counts: the writer of the books, its sweeps, and what the server is."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from alikassa.server.metrics import families
from alikassa.server.metrics.families import Role
from alikassa.server.metrics.process import Process
from alikassa.server.metrics.samples import counted, spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alikassa.ledger.books import Books
    from alikassa.server.metrics.samples import Sample

__all__ = ["OperatorTotals"]


class OperatorTotals:
    """Gathered from those who count; sweeps are told here. `workers`: how many there should be. `statuses`: how many
    requests were answered with each."""

    def __init__(self, books: Books, workers: int, statuses: Mapping[int, int]) -> None:
        self._books = books
        self._statuses = statuses
        self._workers = workers
        self._process = Process(Role.OPERATOR)
        self._sweeps = {"done": 0, "failed": 0}
        self._swept_accounts = 0
        self._swept_at = 0.0

    def swept(self, accounts: int) -> None:
        """A sweep, and on how many accounts it found something due."""
        self._sweeps["done"] += 1
        self._swept_accounts += accounts
        self._swept_at = time.time()

    def sweep_failed(self) -> None:
        self._sweeps["failed"] += 1

    def gather(self) -> list[Sample]:
        found = [
            *self._process.samples(),
            counted(families.WORKERS_WANTED, self._workers),
            counted(families.BUILD, 1, version("alikassa"), platform.python_version()),
            *(counted(families.OPERATOR_REQUESTS, n, str(status)) for status, n in self._statuses.items()),
            *self._of_books(),
            *(counted(families.SWEEPS, count, outcome) for outcome, count in self._sweeps.items()),
            counted(families.SWEPT_ACCOUNTS, self._swept_accounts),
        ]
        if self._swept_at:
            found.append(counted(families.SWEPT_AT, self._swept_at))
        return found

    def _of_books(self) -> list[Sample]:
        counts = self._books.counts
        return [
            *(counted(families.COMMANDS, n, kind.value, outcome) for (kind, outcome), n in counts.commands.items()),
            *(counted(families.ENTRIES, n, kind.value) for kind, n in counts.entries.items()),
            spread(families.BATCH_SIZES, counts.sizes),
            spread(families.BATCH_SECONDS, counts.seconds),
            spread(families.COMMIT_SECONDS, counts.commit_seconds),
            counted(families.QUEUE, self._books.waiting),
            counted(families.AGAIN, counts.again),
            *(counted(families.BATCH_FAILURES, n, kind) for kind, n in counts.failures.items()),
        ]
