"""Real requests: which digest, body and key the server takes. Few, paced, each with a deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alikassa.doctor.findings import Finding, Level
from alikassa.doctor.network import check_clock
from alikassa.errors import (
    AlikassaError,
    CertificateError,
    ConfigurationError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
)

if TYPE_CHECKING:
    from alikassa.client.wire import Incoming, Outgoing, Transport
    from alikassa.profiles import Profile
    from alikassa.protocol.signatures import Signer

__all__ = ["MOST_REQUESTS", "Asker", "ask"]

MOST_REQUESTS = 8
_DIGESTS = ("sha256", "sha1")
_BODIES = ("{}", "[]", "null")
# Of a server's own words, in characters.
_LONGEST_SAID = 1000


@dataclass(frozen=True)
class _Answer:
    """What became of a request: None is a balance, otherwise the error that it stands for. `status` 0: no answer."""

    error: AlikassaError | None
    status: int = 0
    kind: str = ""
    date: str = ""

    @property
    def accepted(self) -> bool:
        return self.error is None

    @property
    def refused_sign(self) -> bool:
        """Whether the signature may be what is wrong: also when a refusal names no field at all."""
        if not isinstance(self.error, RefusedError):
            return False
        # A server that names the account as well has nothing to verify a signature with.
        return not self.error.errors or ("sign" in self.error.errors and "account" not in self.error.errors)

    @property
    def refused_body(self) -> bool:
        return isinstance(self.error, RefusedError) and set(self.error.errors) == {"body"}

    @property
    def unsigned(self) -> bool:
        """Whether the signer makes no such signature, so that nobody was asked."""
        return isinstance(self.error, ConfigurationError | CertificateError)


class _Listening:
    """A transport that remembers an answer's status and headers, and nothing of its content."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.status = 0
        self.headers: dict[str, str] = {}

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        incoming = self._inner.send(outgoing, deadline)
        self.status, self.headers = incoming.status, incoming.headers
        return incoming

    def close(self) -> None:
        self._inner.close()


@dataclass
class Asker:
    """Asks as the client does. `left` is how many requests may still be made, `pace` the pause between two."""

    settings: Profile
    signer: Signer
    seconds: float = 10.0
    pace: float = 0.3
    left: int = MOST_REQUESTS
    asked: int = 0
    _transport: Transport | None = field(default=None, repr=False)

    def ask(self, digest: str | None, body: str, signer: Signer | None = None) -> _Answer | None:
        """One request; None when there is none left. A None digest is the signer's own.

        What the signer cannot do (a key service without SHA-1) is an answer too.
        """
        from alikassa.client.sync import Client
        from alikassa.protocol.signatures import Digest

        if self.left <= 0:
            return None
        if self.asked:
            time.sleep(self.pace)
        self.left -= 1
        self.asked += 1
        transport = _Listening(self._open())
        error: AlikassaError | None = None
        try:
            chosen = signer or self.signer
            choose = getattr(chosen, "with_digest", None)
            if digest is not None and callable(choose):
                chosen = choose(Digest(digest))
            client = Client(
                self.settings.account,
                chosen,
                base_url=self.url,
                body=body,
                attempts=1,
                timeout=self.seconds,
                transport=transport,
            )
            client.balance()
        except AlikassaError as problem:
            error = problem
        headers = transport.headers
        return _Answer(error, transport.status, headers.get("content-type", ""), headers.get("date", ""))

    @property
    def url(self) -> str:
        from alikassa.client.core import BASE_URL

        return self.settings.base_url or BASE_URL

    def _open(self) -> Transport:
        if self._transport is None:
            from alikassa.client.transport import open_transport

            self._transport = open_transport(self.url, self.settings.ca_bundle, self.settings.proxy, http2=False)
        return self._transport

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def ask(asker: Asker, payment: tuple[str, Signer] | None, fingerprint: str) -> list[Finding]:
    """Ask as the settings say, then otherwise as the answers suggest.

    `payment` is the other archive: its path and its signer.
    """
    settings = asker.settings
    automatic = settings.digest == "auto"
    digest = "sha256" if automatic or settings.digest is None else settings.digest
    body = settings.body or "{}"
    first = asker.ask(digest, body)
    assert first is not None  # noqa: S101 - the first of eight
    found = check_clock(first.date) if first.date else []
    if first.accepted:
        accepted = Finding(Level.OK, "server.accepted", {"digest": digest, "body": body})
        return [*found, accepted, *_what_else(asker, digest, body)]
    if not (first.refused_sign or first.refused_body):
        return [*found, _told(asker, first)]
    explained = _try_others(asker, first, digest, body)
    if explained:
        return [*found, *explained]
    if payment is not None:
        for other_digest in _DIGESTS:
            answer = asker.ask(other_digest, body, payment[1])
            if answer is not None and answer.accepted:
                values = {"path": payment[0], "keys": settings.keys}
                return [*found, Finding(Level.ERROR, "refused.payment", values)]
    return [*found, _unexplained(asker, first, fingerprint, both=payment is not None)]


def _try_others(asker: Asker, first: _Answer, digest: str, body: str) -> list[Finding]:
    """Ask with every other digest and body. What explains the first refusal, nothing when it is the signature's."""
    bodies_refused = {body} if first.refused_body else set()
    refusal = first
    for other_digest, other_body in _others(digest, body, body_first=first.refused_body):
        answer = asker.ask(other_digest, other_body)
        if answer is None:
            break
        if answer.accepted:
            automatic = asker.settings.digest == "auto"
            return _differing((digest, body), (other_digest, other_body), automatic=automatic)
        if answer.refused_body:
            bodies_refused.add(other_body)
            refusal = answer
        elif not (answer.refused_sign or answer.unsigned):
            return [_told(asker, answer)]
    # No body will do: then it is not about the key.
    return [_told(asker, refusal)] if bodies_refused.issuperset(_BODIES) else []


def _others(digest: str, body: str, *, body_first: bool) -> list[tuple[str, str]]:
    """What else may be tried, the likeliest first."""
    digests = [digest, *(one for one in _DIGESTS if one != digest)]
    bodies = [body, *(one for one in _BODIES if one != body)]
    if body_first:
        pairs = [(one, other) for one in digests for other in bodies]
    else:
        pairs = [(one, other) for other in bodies for one in digests]
    return pairs[1:]


def _what_else(asker: Asker, digest: str, body: str) -> list[Finding]:
    """Which other digest and bodies the server takes, besides what is set. That it does not answer is no error then."""
    digests, bodies = [digest], [body]
    interrupted: list[Finding] = []
    for other_digest, other_body in (
        *((one, body) for one in _DIGESTS if one != digest),
        *((digest, one) for one in _BODIES if one != body),
    ):
        answer = asker.ask(other_digest, other_body)
        if answer is None:
            break
        if answer.accepted:
            if other_digest != digest:
                digests.append(other_digest)
            else:
                bodies.append(other_body)
        elif not (isinstance(answer.error, RefusedError) or answer.unsigned):
            interrupted = [_told(asker, answer, Level.WARNING)]
            break
    return [Finding(Level.NOTE, "server.takes", {"takes": f"{', '.join(digests)}; {' '.join(bodies)}"}), *interrupted]


def _differing(set_: tuple[str, str], right: tuple[str, str], *, automatic: bool) -> list[Finding]:
    found = []
    if set_[0] != right[0]:
        if automatic:
            found.append(Finding(Level.OK, "server.accepted", {"digest": right[0], "body": right[1]}))
        else:
            found.append(Finding(Level.ERROR, "refused.digest", {"right": right[0], "wrong": set_[0]}))
    if set_[1] != right[1]:
        found.append(Finding(Level.ERROR, "refused.body", {"right": right[1], "wrong": set_[1]}))
    return found


def _told(asker: Asker, answer: _Answer, level: Level = Level.ERROR) -> Finding:
    """What an answer says that is neither a balance nor about the signature."""
    error = answer.error
    assert error is not None  # noqa: S101 - a balance is told otherwise
    problem = {"problem": str(error), "remedy": error.remedy}
    if isinstance(error, NetworkError):
        return Finding(level, "network.no_answer", problem)
    if answer.unsigned:
        return Finding(level, "key.unusable", problem)
    if isinstance(error, RateLimitedError):
        return Finding(level, "server.limited")
    status = {"status": str(answer.status)}
    if answer.status >= 500:
        return Finding(level, "server.failed", status)
    if isinstance(error, RefusedError):
        values = {"account": asker.settings.account, "said": _said(error)}
        return Finding(level, "refused.account" if "account" in error.errors else "refused.request", values)
    if answer.status in (401, 403):
        return Finding(level, "server.forbidden", status)
    kind = "".join(filter(str.isprintable, answer.kind))[:60] or "?"
    if isinstance(error, ProtocolError) and (not answer.status or (answer.status == 200 and "json" in kind)):
        return Finding(level, "server.no_balance", problem)
    return Finding(level, "server.not_api", status | {"kind": kind, "url": asker.url})


def _said(error: RefusedError) -> str:
    words = " ".join(text for texts in error.errors.values() for text in texts) or error.message
    return words if len(words) <= _LONGEST_SAID else f"{words[:_LONGEST_SAID]}..."


def _unexplained(asker: Asker, answer: _Answer, fingerprint: str, *, both: bool) -> Finding:
    """Every signature was refused: what may be behind it. The server's own words move a cause to the front."""
    said = _said(answer.error) if isinstance(answer.error, RefusedError) else ""
    causes = ["maybe_other_key", "maybe_account", "maybe_revoked"]
    if not both:
        causes.insert(0, "maybe_payment")
    hints = {"maybe_revoked": ("was revoked", "отозван"), "maybe_payment": ("with the payment certificate",)}
    lowered = said.lower()
    causes.sort(key=lambda cause: not any(hint in lowered for hint in hints.get(cause, ())))
    values = {"fingerprint": fingerprint or "(alikassa whoami)", "account": asker.settings.account}
    return Finding(
        Level.ERROR,
        "refused.sign",
        {"said": said},
        tuple(Finding(Level.NOTE, f"refused.{cause}", values) for cause in causes),
    )
