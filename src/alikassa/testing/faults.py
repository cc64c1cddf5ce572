"""What a sandbox can be told to do wrong, and which of it comes next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Self

import msgspec
from msgspec import Meta

from alikassa.errors import InvalidInputError
from alikassa.protocol.signatures import Digest

if TYPE_CHECKING:
    import uuid

__all__ = [
    "ActiveFault",
    "Drifting",
    "Dripping",
    "Failing",
    "Fault",
    "FaultList",
    "OnlyDigest",
    "RateLimited",
    "Refused",
    "Reset",
    "Silent",
    "Truncated",
]

_MOST = 1000

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Text = Annotated[str, Meta(max_length=1000)]
_Seconds = Annotated[float, Meta(ge=0, le=3600)]
_RetryAfter = Annotated[int, Meta(ge=0, le=86_400)]
_Decimals = Annotated[int, Meta(ge=0, le=18)]


class _Fault(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What all faults have: a `kind` in JSON."""


# Given in place of the true answer


class Refused(_Fault, frozen=True, tag="refused"):
    """400, with this text under this field."""

    field: _Name = "sign"
    text: _Text = "The sandbox was told to refuse this."


class RateLimited(_Fault, frozen=True, tag="rate_limited"):
    """429, with Retry-After in whole seconds."""

    retry_after: _RetryAfter = 1


class Failing(_Fault, frozen=True, tag="failing"):
    """500 or another 5xx; Retry-After in whole seconds when there is one."""

    status: Annotated[int, Meta(ge=500, le=599)] = 500
    retry_after: _RetryAfter | None = None


class Silent(_Fault, frozen=True, tag="silent"):
    """No answer for so many seconds; then the connection is closed without one."""

    seconds: _Seconds = 60


class Reset(_Fault, frozen=True, tag="reset"):
    """The connection is reset in place of an answer."""


# Done to the true answer


class Truncated(_Fault, frozen=True, tag="truncated"):
    """The first half of the body, as if it were the whole."""


class Dripping(_Fault, frozen=True, tag="dripping"):
    """The answer comes byte by byte, with a pause of so many seconds after each."""

    seconds: _Seconds = 0.05


class Drifting(_Fault, frozen=True, tag="drifting"):
    """A balance in another form, of the same value. A refusal stays as it is.

    - `numbers`: bare JSON numbers in place of strings;
    - `pending_payouts`: False leaves it out;
    - `extra`: additional fields;
    - `decimals`: so many decimals; more where the value needs them.
    """

    numbers: bool = False
    pending_payouts: bool = True
    extra: Annotated[dict[_Name, _Text], Meta(max_length=20)] = {}
    decimals: _Decimals = 8


# A server of another kind


class OnlyDigest(_Fault, frozen=True, tag="only_digest"):
    """Signatures with the other digest are refused, in the words of every wrong signature."""

    digest: Digest = Digest.SHA256


Fault = Refused | RateLimited | Failing | Silent | Reset | Truncated | Dripping | Drifting | OnlyDigest


class ActiveFault:
    """A fault that was set. `left` is for how many requests it stays, None until it is cleared.

    As a context manager it is cleared at the end.
    """

    def __init__(self, faults: FaultList, fault: Fault, times: int | None, account: str | None) -> None:
        self._faults = faults
        self.fault = fault
        self.left = times
        self.account = account

    def clear(self) -> None:
        """End it. Nothing happens when it has ended already."""
        self._faults.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        return f"ActiveFault({self.fault!r}, left={self.left}, account={self.account!r})"


class FaultList:
    """The faults that are set. The one that was set first comes first. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[ActiveFault] = []

    def add(self, fault: Fault, times: int | None, account: uuid.UUID | None) -> ActiveFault:
        """InvalidInputError for a fault that cannot be."""
        active = ActiveFault(self, _checked(fault), times, str(account) if account else None)
        if times is not None and times < 1:
            raise InvalidInputError(f"times is {times}.", remedy="Write 1 or more, or leave it out: until cleared.")
        with self._lock:
            if len(self._active) >= _MOST:
                raise InvalidInputError(f"{_MOST} faults are set, the most there may be.", remedy="Clear them.")
            self._active.append(active)
        return active

    def take(self, account: str) -> Fault | None:
        """What the next request for this account meets; counted."""
        with self._lock:
            for active in self._active:
                if active.account not in (None, account):
                    continue
                if active.left is not None:
                    active.left -= 1
                    if not active.left:
                        self._active.remove(active)
                return active.fault
        return None

    def remove(self, active: ActiveFault) -> None:
        with self._lock:
            if active in self._active:
                self._active.remove(active)

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def active(self) -> list[ActiveFault]:
        with self._lock:
            return list(self._active)


def _checked(fault: Fault) -> Fault:
    try:
        found: Fault = msgspec.convert(msgspec.to_builtins(fault), Fault)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInputError(f"This is no fault: {error}.", remedy="See alikassa.testing.faults.") from error
    return found
