"""What is kept of a request, and what became of it."""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from alikassa.clock import now
from alikassa.ledger.ids import ordered_uuid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from alikassa.protocol.signatures import Digest
    from alikassa.server.correlation import Correlation
    from alikassa.server.limits.addresses import Headers
    from alikassa.server.verification import Verified

__all__ = [
    *("CUT_OFF", "MALFORMED", "NOBODY", "TOO_LARGE", "TOO_LATE"),
    *("Ended", "Headers", "KeptRequest", "Outcome", "malformed"),
]

#: Whose the requests are that name no account that there is.
NOBODY = uuid.UUID(int=0)
#: What the reason of a malformed request begins with; its fields follow, sorted, with commas.
MALFORMED = "malformed:"
#: Reasons of requests whose body was not read to its end.
TOO_LARGE = "too_large"
TOO_LATE = "too_late"
CUT_OFF = "cut_off"

_LONGEST_AGENT = 200


class Outcome(StrEnum):
    """What became of a request: answered, refused at its signature or for being sent again, malformed, one too many; or
    we could not, or failed."""

    OK = "ok"
    REFUSED = "refused"
    MALFORMED = "malformed"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    ERROR = "error"


class Ended(Protocol):
    """A request that has been answered. `begun` by the monotonic clock; `scope` is the web server's, with `client`.

    `named` is its correlation if it has one yet, `correlation` gives it one.
    """

    headers: Headers
    scope: object
    account: str
    begun: float
    named: Correlation | None

    @property
    def correlation(self) -> Correlation: ...


def malformed(fields: Iterable[str]) -> str:
    """The reason of a request that is wrong in these fields."""
    return MALFORMED + ",".join(sorted(fields))


class KeptRequest:
    """One request in full, as it will be a row.

    `account` is the uuid that it named; whether there is such an account is found out when it is written. It is ""
    when it named none, and when it is known already that there is none. `others` like it were only counted. Until
    `waits_until`, by the monotonic clock, its reason may still be found.
    """

    __slots__ = (
        *("account", "address", "at", "certificate", "digest", "known_id", "micros", "others", "outcome"),
        *("reason", "status", "user_agent", "verified", "waits_until"),
    )

    def __init__(
        self,
        account: str,
        ended: Ended,
        address: str,
        outcome: Outcome,
        status: int,
        reason: str,
        verified: Verified | None,
    ) -> None:
        self.at: datetime = now()
        # One that is answered at once has no id of its own; to all others theirs is told.
        named = ended.named if outcome is Outcome.OK else ended.correlation
        self.known_id = None if named is None else named.id
        self.account = account
        self.verified = verified is not None
        self.outcome = outcome
        self.status = status
        self.reason = reason
        self.certificate = None if verified is None else verified.certificate
        self.digest = "" if verified is None else verified.digest.value
        self.micros = max(0, int((time.monotonic() - ended.begun) * 1e6))
        self.address = address
        self.user_agent = _agent(ended.headers.get_all("user-agent"))
        self.others = 0
        self.waits_until = 0.0

    def explain(self, reason: str, certificate: uuid.UUID | None = None, digest: Digest | None = None) -> None:
        """Why it was refused, and what did sign it, if something did; "" when that will not be found out."""
        self.reason = reason
        self.certificate = None if certificate is None else str(certificate)
        self.digest = "" if digest is None else digest.value
        self.waits_until = 0.0

    def new_id(self) -> uuid.UUID:
        """What the log and the answer call it, if they do; in any case the order is that of time, over all workers."""
        return self.known_id or ordered_uuid(self.at)


def _agent(values: Sequence[str]) -> str:
    agent = values[0][:_LONGEST_AGENT] if values else ""
    if agent.isprintable():
        return agent
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in agent)
