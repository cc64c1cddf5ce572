"""All limits of one worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from limits.errors import ConfigurationError as StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from alikassa.errors import ConfigurationError
from alikassa.server.limits.addresses import charged_name
from alikassa.server.limits.shares import Shares

if TYPE_CHECKING:
    from limits import RateLimitItem

    from alikassa.server.limits.rules import Rules

__all__ = ["MEMORY", "Limiter", "counting"]

#: Each worker counts for itself.
MEMORY = "memory"
# A store that does not answer is left alone for so long, and counted without.
_PAUSE_SECONDS = 5.0
_STORE_SECONDS = 0.1


class Limiter:
    """Seconds to wait, 0 for none, before and after a signature is verified. `names` are addresses as
    `charged_name` has them; "" is never charged."""

    def __init__(self, rules: Rules, store: Any) -> None:
        self._address = None if rules.address is None else Shares(rules.address, store, "address")
        self._failed = None if rules.failed is None else Shares(rules.failed, store, "failed")
        self._certificate = None if rules.certificate is None else Shares(rules.certificate, store, "certificate")
        self._account = None if rules.account is None else Shares(rules.account, store, "account")
        #: Whether an address must be known before a signature is looked at, and anything after.
        self.asks_before = self._address is not None or self._failed is not None
        self.asks_after = self._certificate is not None or self._account is not None

    def before(self, address: str) -> float:
        """Charge an address for a request, before its signature is looked at."""
        name = charged_name(address)
        if not name:
            return 0
        if self._failed is not None and (wait := self._failed.refused_for(name)):
            return wait
        return 0 if self._address is None else self._address.take(name)

    def failed(self, address: str) -> None:
        """Charge it for a signature that was refused: that is dear to us, and nobody needs many."""
        name = charged_name(address)
        if name and self._failed is not None:
            self._failed.take(name)

    def after(self, certificate: str, account: str) -> float:
        """Charge a certificate and an account for a request that it signed."""
        wait = 0.0 if self._certificate is None else self._certificate.take(certificate)
        if not wait and self._account is not None:
            wait = self._account.take(account)
        return wait


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
            remedy="pip install redis, and write --limit-store redis://HOST:6379/0.",
        ) from error
    return _Counted(SlidingWindowCounterRateLimiter(store), lost)
