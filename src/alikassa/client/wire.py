"""A request as it goes out, an answer as it comes in, and who carries them: what a transport of one's own needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["AsyncTransport", "Incoming", "Outgoing", "Secret", "Transport"]


class Secret:
    """Text that shows itself only to who asks for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A secret is not pickled.")


@dataclass(frozen=True)
class Outgoing:
    """A request as it goes onto the wire: POST to `url`.

    `headers` are all but Host, Content-Length and Sign, which the transport adds. `sign` stays covered until the
    moment it is written: `sign.reveal()` is the header's value.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    sign: Secret
    body: bytes


@dataclass(frozen=True)
class Incoming:
    """An answer. Header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Carries requests for a `Client`; threads share it.

    `send` returns whatever status came. It raises NetworkError when no whole answer arrived, ProtocolError when the
    answer is longer than it reads, and DeadlineExceededError once `deadline` (time.monotonic) is past. A transport
    that has a method `after_fork` is told by it, in the child, that the process was forked.
    """

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming: ...
    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """As Transport, for an `AsyncClient`, which bounds the time itself: it cancels `send`."""

    async def send(self, outgoing: Outgoing, /) -> Incoming: ...
    async def close(self) -> None: ...
