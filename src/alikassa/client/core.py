"""What a client decides, without any I/O: its settings, checked, and whether a call is tried again."""

from __future__ import annotations

import random
from importlib.metadata import version
from typing import TYPE_CHECKING

from alikassa import clock
from alikassa.client.checks import (
    BASE_URL,
    check_account,
    check_attempts,
    check_base_url,
    check_body,
    check_fresh,
    check_seconds,
)
from alikassa.client.forking import follow_forks
from alikassa.client.reporting import Reporter
from alikassa.client.signing import Signing
from alikassa.client.wire import Outgoing
from alikassa.protocol.freshness import stamped_body
from alikassa.protocol.messages import BALANCE_PATH, JSON

if TYPE_CHECKING:
    import os
    import uuid
    from collections.abc import Callable

    from alikassa.client.events import Event
    from alikassa.client.wire import Secret
    from alikassa.errors import AlikassaError
    from alikassa.protocol.signatures import Digest, Signer

__all__ = ["ATTEMPTS", "ATTEMPT_TIMEOUT", "BASE_URL", "LONGEST_ANSWER", "TIMEOUT", "Core"]

#: For a whole call, in seconds, as in the page's programs.
TIMEOUT = 30.0
#: For a single attempt, in seconds.
ATTEMPT_TIMEOUT = 10.0
#: The largest answer that is read, in bytes.
LONGEST_ANSWER = 64 * 1024
ATTEMPTS = 4

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0

_USER_AGENT = f"alikassa/{version('alikassa')} (Python)"


class Core:
    """The settings of a client, checked, and the decisions it makes."""

    def __init__(
        self,
        account: str | uuid.UUID,
        keys: str | os.PathLike[str] | Signer,
        *,
        base_url: str,
        digest: Digest | str | None,
        body: bytes | str,
        fresh: bool,
        timeout: float,
        attempt_timeout: float,
        attempts: int,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        self.account = check_account(account)
        self.url = check_base_url(base_url) + BALANCE_PATH
        self.fresh = check_fresh(fresh, body)
        self._body = check_body(body)
        self.timeout = check_seconds("timeout", timeout)
        self.attempt_timeout = check_seconds("attempt_timeout", attempt_timeout)
        self.attempts = check_attempts(attempts)
        self.reporter = Reporter(on_event)
        self.signing = Signing(keys, digest, self._body)
        self._headers = (
            ("Content-Type", JSON),
            ("Accept", JSON),
            ("User-Agent", _USER_AGENT),
            ("Account", self.account),
        )
        follow_forks(self.signing)

    def next_body(self) -> bytes:
        """What the next attempt signs and sends."""
        return stamped_body(self.account, clock.now()) if self.fresh else self._body

    def outgoing(self, request_id: str, body: bytes, sign: Secret, more: tuple[tuple[str, str], ...] = ()) -> Outgoing:
        """The request with this body and its signature. `more` are headers beside the client's."""
        return Outgoing(
            url=self.url,
            headers=(*self._headers, ("X-Request-Id", request_id), *more),
            sign=sign,
            body=body,
        )

    def wait(self, error: AlikassaError, attempt: int, remaining: float) -> float | None:
        """How many seconds to wait before trying again after this error; None when that is not to be.

        `attempt` counts from 1, `remaining` is what is left of the call's time. A balance request changes nothing,
        so repeating it is safe.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        asked: float | None = getattr(error, "retry_after", None)
        if asked is None:
            # Doubling, and at random up to that, so that many clients do not come back at the same moment.
            asked = random.uniform(0, min(_FIRST_WAIT * 2 ** min(attempt - 1, 10), _LONGEST_WAIT))  # noqa: S311 - no secret
        return asked if asked < remaining else None

    def __repr__(self) -> str:
        return f"account={self.account!r}, url={self.url!r}, signer={self.signing!r}"
