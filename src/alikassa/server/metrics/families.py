"""Every metric: its name, what it means, and the words that its labels may have. docs/metrics.md tells the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from itertools import combinations

from alikassa.server.freshness import Stale
from alikassa.server.refusals import Reason
from alikassa.server.requests.kept import CUT_OFF, TOO_LARGE, TOO_LATE, Outcome, malformed

__all__ = ["FAMILIES", "NOT_WORKED_OUT", "OTHER", "REASONS", "SIGNATURE", "Family", "Role", "Together", "Type"]

OTHER = "other"
#: The reason of what was refused at its signature: the cause is worked out after the answer, and counted by itself.
SIGNATURE = "signature"
NOT_WORKED_OUT = "not_worked_out"


class Type(StrEnum):
    """What Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Role(StrEnum):
    """Which processes: those that answer merchants, or the operator's."""

    WORKERS = "workers"
    OPERATOR = "operator"


class Together(Enum):
    """What one gauge of several processes is."""

    SUM = "sum"
    LATEST = "latest"


@dataclass(frozen=True)
class Family:
    """A counter's name stands here without `_total`. `known` are label values that are shown from the start, at 0.

    `powers`: the first and last power of two that is a bound of a histogram, in units of `unit`.
    """

    name: str
    type: Type
    text: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    together: Together = Together.SUM
    powers: tuple[int, int] = (0, 0)
    unit: float = 1.0


def _counter(name: str, text: str, *labels: str, known: tuple[tuple[str, ...], ...] = ((),)) -> Family:
    return Family(f"alikassa_{name}", Type.COUNTER, text, labels, () if labels and known == ((),) else known)


def _gauge(
    name: str,
    text: str,
    *labels: str,
    known: tuple[tuple[str, ...], ...] = (),
    together: Together = Together.SUM,
) -> Family:
    return Family(f"alikassa_{name}", Type.GAUGE, text, labels, known, together=together)


def _seconds(name: str, text: str, *labels: str, known: tuple[tuple[str, ...], ...] = ((),)) -> Family:
    """From 16 microseconds to 16.8 seconds."""
    return Family(f"alikassa_{name}_seconds", Type.HISTOGRAM, text, labels, known, powers=(4, 24), unit=1e-6)


def _sizes(name: str, text: str, most: int) -> Family:
    return Family(f"alikassa_{name}", Type.HISTOGRAM, text, (), ((),), powers=(0, most))


_HEADERS = ("account", "content_type", "sign")
_FIELDS = [set(some) for count in (1, 2, 3) for some in combinations(_HEADERS, count)]

#: The label of each reason that the log of requests knows; of any other, `OTHER`.
REASONS = {
    "": "",
    **{malformed(fields): ",".join(sorted(fields)) for fields in (*_FIELDS, {"body"})},
    **{one: one for one in (CUT_OFF, TOO_LARGE, TOO_LATE, *(stale.value for stale in Stale))},
}
_OUTCOMES = tuple((outcome.value,) for outcome in Outcome)
_KNOWN_REASONS = (
    *((outcome.value, "") for outcome in Outcome if outcome not in (Outcome.REFUSED, Outcome.MALFORMED)),
    (Outcome.REFUSED.value, SIGNATURE),
    *((Outcome.MALFORMED.value, field) for field in (*_HEADERS, "body", CUT_OFF, TOO_LARGE, TOO_LATE)),
)

# Merchants' requests

REQUESTS = _counter(
    "server_requests",
    "Balance requests, by what became of them and why.",
    *("outcome", "reason"),
    known=_KNOWN_REASONS,
)
CAUSES = _counter(
    "server_refusal_causes",
    "What was wrong with signatures that were refused, as worked out after the answer.",
    "cause",
    known=tuple((cause,) for cause in (*(reason.value for reason in Reason), NOT_WORKED_OUT)),
)
DURATION = _seconds(
    "server_request_duration", "From a request's headers until its answer was ready.", "outcome", known=_OUTCOMES
)
IN_FLIGHT = _gauge("server_requests_in_flight", "Requests that have arrived and are not answered yet.")
GONE = _counter("server_requests_gone", "Requests whose sender was gone before the answer.")
LOST = _counter("server_requests_lost", "Requests that are missing from the log that merchants see.")
LIMITS_UNCOUNTED = _counter("server_limits_uncounted", "Times that the limits' store did not answer.")
VERIFICATIONS = _counter("server_signature_verifications", "Signatures that were not known, and so were verified.")
KNOWN_SIGNATURES = _gauge("server_known_signatures", "Verified signatures that are remembered.")
READ_SIZES = _sizes("server_read_requests", "Requests that one read of the database served.", 6)
READ_SECONDS = _seconds("server_read", "How long one read of the database for balance requests took.")
READ_SOURCES = _counter(
    "server_read_accounts", "Where there are replicas: accounts by where their four numbers were read.", "source"
)
READ_TURNED_AWAY = _counter(
    "server_reads_turned_away", "Requests that were not read for, since too many waited, or for too long."
)
READ_FAILURES = _counter("server_read_failures", "Reads that failed, by the database's error.", "kind")

# The operator's

OPERATOR_REQUESTS = _counter(
    "operator_requests", "Requests to the operator's API and to the cabinet, by the answer's status.", "status"
)

# Processes

STARTS = _counter(
    "process_starts", "Processes that began, since the server did.", "process", known=tuple((one,) for one in Role)
)
PROCESSES = _gauge("processes", "Processes that run.", "process", known=tuple((one,) for one in Role))
WORKERS_WANTED = _gauge("workers_wanted", "Processes that should answer merchants: --workers.")
START_TIME = _gauge(
    "process_start_time_seconds",
    "When the youngest of these processes began, in Unix time.",
    "process",
    together=Together.LATEST,
)
MEMORY = _gauge("process_resident_memory_bytes", "Memory that these processes have, shared pages in each.", "process")
FILES = _gauge("process_open_files", "Files and connections that they have open.", "process")
CPU = _counter("process_cpu_seconds", "Processor time that they have used.", "process")
BUILD = _gauge("build_info", "Always 1.", "version", "python", together=Together.LATEST)

# The books

COMMANDS = _counter("books_commands", "Commands to the books, by what became of them.", "kind", "outcome")
ENTRIES = _counter("books_entries", "Journal entries that were committed.", "kind")
BATCH_SIZES = _sizes("books_batch_commands", "Commands of a committed batch.", 8)
BATCH_SECONDS = _seconds("books_batch", "How long a committed batch took, from its first statement on.")
COMMIT_SECONDS = _seconds("books_commit", "How long its commit took.")
QUEUE = _gauge("books_queue_length", "Jobs that wait to be booked.")
AGAIN = _counter("books_batches_tried_again", "Batches that were tried again.")
BATCH_FAILURES = _counter(
    "books_batch_failures",
    "Batches that were given up, by the error.",
    "kind",
    known=(("database_unavailable",), ("database_missing",), ("database",)),
)
SWEEPS = _counter(
    "books_sweeps", "Sweeps of what is due.", "outcome", known=tuple((one,) for one in ("done", "failed"))
)
SWEPT_ACCOUNTS = _counter("books_swept_accounts", "Accounts on which sweeps found something due.")
SWEPT_AT = _gauge(
    "books_sweep_last_success_timestamp_seconds", "When a sweep was last done, in Unix time.", together=Together.LATEST
)

# Asked of the database when scraped

DATABASE_UP = _gauge("database_up", "1 when the database answers, 0 when it does not.", together=Together.LATEST)
DISCREPANCIES = _gauge(
    "books_discrepancies_open", "Discrepancies that no correction has closed, up to 1000.", together=Together.LATEST
)
VERIFIED_AT = _gauge(
    "books_verification_timestamp_seconds",
    "When all books were last verified, in Unix time; absent when never.",
    together=Together.LATEST,
)
VERIFIED_WRONG = _gauge("books_verification_problems", "What that verification found wrong.", together=Together.LATEST)

FAMILIES: tuple[Family, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Family))
