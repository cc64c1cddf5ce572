"""What happens to a call, as a hook (`on_event`) is told it. No event holds a header, a body or `Sign`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.errors import AlikassaError
    from alikassa.protocol.signatures import Digest

__all__ = ["AttemptFailed", "DigestChosen", "Event", "RequestAnswered", "RequestStarted"]


@dataclass(frozen=True)
class RequestStarted:
    """A call began. `request_id` is what every attempt sends as X-Request-Id."""

    request_id: str
    account: str
    url: str


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt, counted from 1, failed after `seconds`. The next begins after `wait` seconds; None: there is none,
    and the call raises `error`."""

    request_id: str
    attempt: int
    error: AlikassaError
    seconds: float
    wait: float | None


@dataclass(frozen=True)
class RequestAnswered:
    """The call has its balance, in `seconds` from its start. `server_request_id` is the server's own id, or ""."""

    request_id: str
    attempts: int
    status: int
    seconds: float
    server_request_id: str


@dataclass(frozen=True)
class DigestChosen:
    """With `digest="auto"`: the digest that the server takes is known from now on."""

    request_id: str
    digest: Digest


Event = RequestStarted | AttemptFailed | RequestAnswered | DigestChosen
