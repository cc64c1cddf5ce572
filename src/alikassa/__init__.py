"""Account balance: the signed request and the client that asks.

    from alikassa import Client

    with Client("93d5df06-996c-48c3-9847-348d6b580b80", "cert/payout") as client:
        print(client.balance())

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.client.asynchronous import AsyncClient
    from alikassa.client.events import AttemptFailed, DigestChosen, Event, RequestAnswered, RequestStarted
    from alikassa.client.signing import BlockingSigner, DigestSigner
    from alikassa.client.sync import Client
    from alikassa.client.wire import AsyncTransport, Incoming, Outgoing, Transport
    from alikassa.errors import (
        AlikassaError,
        CertificateError,
        ConfigurationError,
        DeadlineExceededError,
        NetworkError,
        ProtocolError,
        RateLimitedError,
        RefusedError,
        ServerError,
    )
    from alikassa.protocol.messages import Balance
    from alikassa.protocol.signatures import Digest, KeySigner, Signer

__all__ = [
    "AlikassaError",
    "AsyncClient",
    "AsyncTransport",
    "AttemptFailed",
    "Balance",
    "BlockingSigner",
    "CertificateError",
    "Client",
    "ConfigurationError",
    "DeadlineExceededError",
    "Digest",
    "DigestChosen",
    "DigestSigner",
    "Event",
    "Incoming",
    "KeySigner",
    "NetworkError",
    "Outgoing",
    "ProtocolError",
    "RateLimitedError",
    "RefusedError",
    "RequestAnswered",
    "RequestStarted",
    "ServerError",
    "Signer",
    "Transport",
]

_HOMES = {
    "AsyncClient": "alikassa.client.asynchronous",
    "AsyncTransport": "alikassa.client.wire",
    "AttemptFailed": "alikassa.client.events",
    "Balance": "alikassa.protocol.messages",
    "BlockingSigner": "alikassa.client.signing",
    "Client": "alikassa.client.sync",
    "Digest": "alikassa.protocol.signatures",
    "DigestChosen": "alikassa.client.events",
    "DigestSigner": "alikassa.client.signing",
    "Event": "alikassa.client.events",
    "Incoming": "alikassa.client.wire",
    "KeySigner": "alikassa.protocol.signatures",
    "Outgoing": "alikassa.client.wire",
    "RequestAnswered": "alikassa.client.events",
    "RequestStarted": "alikassa.client.events",
    "Signer": "alikassa.protocol.signatures",
    "Transport": "alikassa.client.wire",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "alikassa.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
