"""One call from its start to its end, without any I/O: what to send, what came of it, whether to try again."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NoReturn, Self

from alikassa.client.answers import server_request_id, understand
from alikassa.client.background import result_of
from alikassa.client.checks import check_seconds
from alikassa.client.covering import Cover
from alikassa.client.events import AttemptFailed, DigestChosen, RequestAnswered, RequestStarted
from alikassa.client.tracing import Attempt, end_span, headers_for, start_attempt, start_call
from alikassa.errors import AlikassaError, DeadlineExceededError, NetworkError, RefusedError
from alikassa.protocol.signatures import Digest

if TYPE_CHECKING:
    from concurrent.futures import Future

    from opentelemetry.trace import Span

    from alikassa.client.core import Core
    from alikassa.client.wire import Incoming, Outgoing, Secret
    from alikassa.protocol.messages import Balance

__all__ = ["Call"]


class Call:
    """A call under way. A shell waits for what `begin` gives and sends what `outgoing` gives, both within `deadline`;
    hands the answer to `understand` and every AlikassaError to `failed`, which says how long to wait before the next
    attempt, or raises."""

    def __init__(self, core: Core, timeout: float | None) -> None:
        self._core = core
        self._seconds = core.timeout if timeout is None else check_seconds("timeout", timeout)
        self.request_id = str(uuid.uuid4())
        self._started = self._begun = time.monotonic()
        self._end = self._started + self._seconds
        #: When the attempt must be over, by time.monotonic().
        self.deadline = self._end
        # What was sent, and what of it counts towards `attempts`: the two digests of a probe have theirs each.
        self._sent = self._attempt = 0
        self._probe = Digest.SHA256
        self._last: AlikassaError | None = None
        self._server_request_id = ""
        self._digest: Digest | None = None
        #: A signature that a signer which blocks is still making.
        self._signature: Future[Secret] | None = None
        self._body = b""
        self._cover: Cover | None = None
        self._span: Span | None = None
        self._whole: Span | None = None

    def __enter__(self) -> Self:
        self._whole = start_call(self.request_id)
        self._core.reporter.tell(RequestStarted(self.request_id, self._core.account, self._core.url))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Whatever ended the call, a cancellation too: no span is left open.
        self._end_span(error=error)
        end_span(self._whole, error=error)

    @property
    def remaining(self) -> float:
        """What is left of the whole call's time, in seconds; 0 when it is over."""
        return max(self._end - time.monotonic(), 0.0)

    def expired(self) -> NoReturn:
        """Raise that the whole call's time is over, before an attempt began."""
        self.deadline = self._end
        self.failed(DeadlineExceededError("The call's time is over."))
        raise AssertionError("no attempt follows the end of a call's time")

    @property
    def left(self) -> float:
        """What is left of the attempt's time, in seconds; 0 when it is over."""
        return max(self.deadline - time.monotonic(), 0.0)

    def begin(self) -> Future[Secret] | None:
        """Begin the next attempt. What has to be done before `outgoing`, by a signer that blocks; None: nothing."""
        core = self._core
        self._begun = time.monotonic()
        self.deadline = min(self._begun + core.attempt_timeout, self._end)
        self._server_request_id = ""
        self._attempt += 1
        self._sent += 1
        self._span = start_attempt(Attempt(core.url, self.request_id, self._sent - 1), self._whole)
        self._digest = self._probe if core.signing.undecided else core.signing.chosen
        self._body = core.next_body()
        self._signature = core.signing.begin(self._digest, self._body)
        return self._signature

    def outgoing(self) -> Outgoing:
        """What to send. Raises what the signer raises, and DeadlineExceededError when it is not done yet."""
        if self._signature is None:
            sign = self._core.signing.sign(self._digest, self._body)
        else:
            if not self._signature.done():
                raise DeadlineExceededError("The attempt's time is over.")
            signature, self._signature = self._signature, None
            sign = result_of(signature)
        outgoing = self._core.outgoing(self.request_id, self._body, sign, headers_for(self._span))
        self._cover = Cover(outgoing.sign)
        return outgoing

    def understand(self, incoming: Incoming) -> Balance:
        """The balance in an answer. Raises the error that it stands for, which is for `failed`."""
        core = self._core
        if self._cover is not None:
            # A server that repeats what it was sent must not bring `Sign` into a text, an id or `raw`.
            incoming = self._cover.answer(incoming)
        self._server_request_id = server_request_id(incoming.headers)
        try:
            found = understand(incoming.status, incoming.headers, incoming.body)
        except AlikassaError as error:
            self._end_span(status=incoming.status, error=error)
            raise
        self._end_span(status=incoming.status)
        if core.signing.undecided and core.signing.decide(self._probe):
            core.reporter.tell(DigestChosen(self.request_id, self._probe))
        seconds = time.monotonic() - self._started
        core.reporter.tell(
            RequestAnswered(self.request_id, self._sent, incoming.status, seconds, self._server_request_id)
        )
        return found

    def failed(self, error: AlikassaError) -> float:
        """How many seconds to wait before the next attempt. Raises when there is none."""
        if isinstance(error, DeadlineExceededError):
            error = self._too_late()
        if self._cover is not None:
            self._cover.error(error)
        self._end_span(error=error)
        error.request_id = self.request_id
        error.server_request_id = self._server_request_id
        wait = self._wait(error)
        seconds = time.monotonic() - self._begun
        self._core.reporter.tell(AttemptFailed(self.request_id, self._sent, error, seconds, wait))
        if wait is None:
            raise error
        self._last = error
        return wait

    def _wait(self, error: AlikassaError) -> float | None:
        if self._core.signing.undecided and isinstance(error, RefusedError) and "sign" in error.errors:
            if self._probe is Digest.SHA256:
                self._probe, self._attempt = Digest.SHA1, 0
                return 0.0
            error.remedy = "Both sha256 and sha1 were refused. Sign with the payout certificate of this account."
        return self._core.wait(error, self._attempt, self.remaining)

    def _too_late(self) -> NetworkError:
        if self._signature is None:
            what, of = "answer", f"from {self._core.url}"
        else:
            what, of = "signature", f"by {self._core.signing!r}"
        error: NetworkError
        # By what was planned and not by the clock: a wait may end a hair before its time.
        if self.deadline < self._end:
            error = NetworkError(
                f"No {what} within {self._core.attempt_timeout:g} s {of}.",
                remedy="Try again, or give a longer attempt_timeout.",
            )
        else:
            error = DeadlineExceededError(
                f"No {what} within {self._seconds:g} s {of}.", remedy="Try again, or give a longer timeout."
            )
        error.__cause__ = self._last
        return error

    def _end_span(self, *, status: int | None = None, error: BaseException | None = None) -> None:
        end_span(self._span, status=status, error=error)
        self._span = None
