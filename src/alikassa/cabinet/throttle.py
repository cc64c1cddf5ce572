"""How often somebody may try to log in: sliding windows, in this process's memory."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Attempt", "Throttle"]

_QUARTER = 15
# Failures in a quarter of an hour. By login alone it is the loosest: a stranger who knows a login must not easily keep
# its owner out, and whoever tries it from many addresses must still come to an end.
_BY_LOGIN_AND_ADDRESS = RateLimitItemPerMinute(5, _QUARTER, namespace="login and address")
_BY_ADDRESS = RateLimitItemPerMinute(30, _QUARTER, namespace="address")
_BY_LOGIN = RateLimitItemPerMinute(100, _QUARTER, namespace="login")


@dataclass
class Attempt:
    """`wait`: seconds before it may be made, 0 for now. It has `failed` until somebody says otherwise."""

    wait: int
    failed: bool = True


class Throttle:
    """Failed attempts, by who was tried and from where. What succeeds is not counted."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._under_way: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def attempt(self, login: str, address: str) -> Iterator[Attempt]:
        """One attempt. While it lasts it counts as a failed one: of many made at once, no more are looked at than of
        as many made one by one."""
        limits = _limits(login, address)
        made = Attempt(self._seconds_to_wait(limits))
        if made.wait:
            yield made
            return
        keys = [(item.namespace, *key) for item, key in limits]
        self._under_way.update(keys)
        try:
            yield made
        except Exception:
            # Not the visitor's fault: the database is away, say.
            made.failed = False
            raise
        finally:
            self._under_way.subtract(keys)
            self._under_way += Counter()
            if made.failed:
                for item, key in limits:
                    self._limiter.hit(item, *key)

    def _seconds_to_wait(self, limits: list[tuple[RateLimitItem, tuple[str, ...]]]) -> int:
        waits = [
            max(1, int(self._limiter.get_window_stats(item, *key).reset_time - time.time()) + 1)
            for item, key in limits
            if not self._limiter.test(item, *key)
        ]
        is_busy = any(
            not self._limiter.test(item, *key, cost=1 + self._under_way[item.namespace, *key]) for item, key in limits
        )
        return max(waits, default=int(is_busy))


def _limits(login: str, address: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    login, address = login.lower()[:200], _network(address)
    return [(_BY_LOGIN_AND_ADDRESS, (login, address)), (_BY_ADDRESS, (address,)), (_BY_LOGIN, (login,))]


def _network(address: str) -> str:
    """Whoever has one IPv6 address has 2^64 of them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((found.packed, 64), strict=False).network_address)
