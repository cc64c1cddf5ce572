"""All limits of one worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from limits.errors import ConfigurationError as StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from alikassa.errors import ConfigurationError
from alikassa.server.limits.addresses import charged_name
from alikassa.server.limits.shares import Shares

if TYPE_CHECKING:
    from limits import RateLimitItem

    from alikassa.server.limits.addresses import Addresses, Headers
    from alikassa.server.limits.rules import Rules

__all__ = ["MEMORY", "Limiter", "counting"]

#: Each worker counts for itself.
MEMORY = "memory"
# A store that does not answer is left alone for so long, and counted without.
_PAUSE_SECONDS = 5.0
_STORE_SECONDS = 0.1


class Asking(Protocol):
    """A request, as far as limits look at it."""

    @property
    def account(self) -> str: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def scope(self) -> object: ...


class Limiter:
    """Seconds to wait, 0 for none, at the places of a request's way where limits are asked."""

    def __init__(self, rules: Rules, store: Any, addresses: Addresses) -> None:
        self._addresses = addresses
        self._address = None if rules.address is None else Shares(rules.address, store, "address")
        self._failed = None if rules.failed is None else Shares(rules.failed, store, "failed")
        self._certificate = None if rules.certificate is None else Shares(rules.certificate, store, "certificate")
        self._account = None if rules.account is None else Shares(rules.account, store, "account")
        #: Whether every request's address is charged, and every signer: without, the quick path need not ask.
        self.charges_addresses = self._address is not None
        self.charges_signers = self._certificate is not None or self._account is not None

    def enter(self, asking: Asking) -> float:
        """Charge the address, before anything is read for it."""
        name = self._name(asking)
        return self._address.take(name) if self._address is not None and name else 0

    def verify(self, asking: Asking) -> float:
        """Before a signature that is not known is looked at: has this address sent too many that were refused?"""
        if self._failed is None:
            return 0
        name = self._name(asking)
        return self._failed.refused_for(name) if name else 0

    def failed(self, asking: Asking) -> None:
        """Charge the address for a request that was refused once its signature had been looked at: that is dear to us,
        and nobody needs many. Also when the signature was right: whoever sends somebody's request again has nothing
        else of their own to be charged."""
        if self._failed is not None and (name := self._name(asking)):
            self._failed.take(name)

    def signed(self, asking: Asking, certificate: str) -> float:
        """Charge the certificate that signed, and the account: once a request that is not refused for its body."""
        wait = 0.0 if self._certificate is None else self._certificate.take(certificate)
        if not wait and self._account is not None:
            wait = self._account.take(asking.account)
        return wait

    def _name(self, asking: Asking) -> str:
        return charged_name(self._addresses.of_request(asking.scope, asking.headers))


class _Counted:
    """A store that may be away: what cannot be counted there is counted here meanwhile."""

    def __init__(self, store: SlidingWindowCounterRateLimiter, lost: Any) -> None:
        self._store = store
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._lost = lost
        self._paused_until = 0.0

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return bool(self._ask("hit", item, *identifiers, cost=cost))

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> Any:
        return self._ask("get_window_stats", item, *identifiers)

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        if time.monotonic() >= self._paused_until:
            try:
                return getattr(self._store, name)(*arguments, **named)
            except Exception as error:  # of whatever store it is: limits must not end answering
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                self._lost(error)
        return getattr(self._here, name)(*arguments, **named)


def counting(url: str, lost: Any) -> Any:
    """Where windows are counted: `memory`, or `redis://HOST:PORT/N` for all workers and servers together. `lost` is
    told when that does not answer. ConfigurationError for another URL."""
    if url == MEMORY:
        return SlidingWindowCounterRateLimiter(MemoryStorage())
    if not url.startswith(("redis://", "rediss://")):
        raise ConfigurationError(
            "The store of the limits is not known.", remedy="Write --limit-store memory or redis://HOST:6379/0."
        )
    try:
        store = storage_from_string(url, socket_timeout=_STORE_SECONDS, socket_connect_timeout=_STORE_SECONDS)
    except (StorageError, ValueError) as error:
        raise ConfigurationError(
            "The store of the limits cannot be used: the redis package is missing, or the URL is wrong.",
            remedy="pip install 'alikassa[redis]', and write --limit-store redis://HOST:6379/0.",
        ) from error
    return _Counted(SlidingWindowCounterRateLimiter(store), lost)
