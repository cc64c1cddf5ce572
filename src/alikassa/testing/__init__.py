"""For the tests of those who ask: a sandbox that refuses what production refuses.

    from alikassa.testing import Sandbox

    with Sandbox() as sandbox:
        account = sandbox.account(currency="RUB")
        account.payment("100.00")
        with account.client() as client:
            print(client.balance())

Needs the server's packages: `pip install 'alikassa[server]'`. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.testing.account import Merchant, SandboxAccount
    from alikassa.testing.faults import (
        ActiveFault,
        Drifting,
        Dripping,
        Failing,
        Fault,
        OnlyDigest,
        RateLimited,
        Refused,
        Reset,
        Silent,
        Truncated,
    )
    from alikassa.testing.record import Asked
    from alikassa.testing.sandbox import Sandbox

__all__ = [
    "ActiveFault",
    "Asked",
    "Drifting",
    "Dripping",
    "Failing",
    "Fault",
    "Merchant",
    "OnlyDigest",
    "RateLimited",
    "Refused",
    "Reset",
    "Sandbox",
    "SandboxAccount",
    "Silent",
    "Truncated",
]

_HOMES = {"Asked": "record", "Merchant": "account", "Sandbox": "sandbox", "SandboxAccount": "account"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'faults')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
