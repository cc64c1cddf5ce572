"""From a profile to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alikassa.client.asynchronous import AsyncClient
    from alikassa.client.sync import Client
    from alikassa.profiles.model import Profile
    from alikassa.protocol.signatures import Signer

__all__ = ["open_async_client", "open_client", "signer_of"]


def signer_of(profile: Profile) -> Signer:
    """The signer for a profile's key. Raises ConfigurationError or CertificateError."""
    from alikassa.keys import open_signer

    return open_signer(profile.keys, profile.digest)


def open_client(profile: Profile) -> Client:
    """A client for the profile's account. Raises ConfigurationError or CertificateError."""
    from alikassa.client.sync import Client

    return Client(profile.account, signer_of(profile), **_options(profile))


def open_async_client(profile: Profile) -> AsyncClient:
    """As `open_client`, for asyncio."""
    from alikassa.client.asynchronous import AsyncClient

    return AsyncClient(profile.account, signer_of(profile), **_options(profile))


def _options(profile: Profile) -> dict[str, Any]:
    names = ("base_url", "body", "timeout", "ca_bundle", "proxy")
    return {name: value for name in names if (value := getattr(profile, name)) is not None}
