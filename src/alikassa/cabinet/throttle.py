"""How often somebody may try to log in: sliding windows, in this process's memory."""

from __future__ import annotations

import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

__all__ = ["Throttle"]

_QUARTER = 15
# Failures in a quarter of an hour. By login alone it is the loosest: a stranger who knows a login must not easily keep
# its owner out, and whoever tries it from many addresses must still come to an end.
_BY_LOGIN_AND_ADDRESS = RateLimitItemPerMinute(5, _QUARTER, namespace="login and address")
_BY_ADDRESS = RateLimitItemPerMinute(30, _QUARTER, namespace="address")
_BY_LOGIN = RateLimitItemPerMinute(100, _QUARTER, namespace="login")


class Throttle:
    """Failed attempts, by who was tried and from where. What succeeds is not counted."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def seconds_to_wait(self, login: str, address: str) -> int:
        """Before the next attempt may be made; 0 for now."""
        waits = [
            max(1, int(self._limiter.get_window_stats(item, *key).reset_time - time.time()) + 1)
            for item, key in _limits(login, address)
            if not self._limiter.test(item, *key)
        ]
        return max(waits, default=0)

    def failed(self, login: str, address: str) -> None:
        for item, key in _limits(login, address):
            self._limiter.hit(item, *key)


def _limits(login: str, address: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    login = login.lower()[:200]
    return [(_BY_LOGIN_AND_ADDRESS, (login, address)), (_BY_ADDRESS, (address,)), (_BY_LOGIN, (login,))]
