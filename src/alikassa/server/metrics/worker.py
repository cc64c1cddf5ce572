"""All that one of the merchants' workers counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from alikassa.server.metrics import families
from alikassa.server.metrics.families import Role
from alikassa.server.metrics.process import Process
from alikassa.server.metrics.samples import counted, spread

if TYPE_CHECKING:
    from alikassa.ledger.counts import ReadCounts
    from alikassa.ledger.reader import AccountReader
    from alikassa.server.metrics.samples import Sample
    from alikassa.server.requests.recorder import Recorder
    from alikassa.server.verification import Verifier

__all__ = ["WorkerTotals"]


class Answering(Protocol):
    """Whoever takes requests and answers them."""

    in_flight: int


class WorkerTotals:
    """Gathered from those who count."""

    def __init__(self, answering: Answering, recorder: Recorder, verifier: Verifier, reader: AccountReader) -> None:
        self._answering = answering
        self._recorder = recorder
        self._verifier = verifier
        self._reader = reader
        self._process = Process(Role.WORKERS)

    def gather(self) -> list[Sample]:
        return [
            *self._process.samples(),
            *self._recorder.counts.samples(not_told=self._recorder.lost),
            counted(families.IN_FLIGHT, self._answering.in_flight),
            counted(families.VERIFICATIONS, self._verifier.verifications),
            counted(families.KNOWN_SIGNATURES, self._verifier.known),
            *_reads(self._reader.counts),
        ]


def _reads(counts: ReadCounts) -> list[Sample]:
    return [
        spread(families.READ_SIZES, counts.sizes),
        spread(families.READ_SECONDS, counts.seconds),
        *(counted(families.READ_SOURCES, count, source) for source, count in counts.sources.items()),
        counted(families.READ_TURNED_AWAY, counts.turned_away),
        *(counted(families.READ_FAILURES, count, kind) for kind, count in counts.failures.items()),
    ]
