"""From a profile to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa.profiles.model import IN_KEYRING

if TYPE_CHECKING:
    from alikassa.client.asynchronous import AsyncClient
    from alikassa.client.sync import Client
    from alikassa.profiles.model import Profile
    from alikassa.protocol.signatures import Signer

__all__ = ["open_async_client", "open_client", "signer_of"]

_AUTO = "auto"


def signer_of(profile: Profile) -> Signer:
    """The signer for a profile's key. Raises ConfigurationError or CertificateError."""
    from alikassa.keys import open_signer

    digest = None if profile.digest == _AUTO else profile.digest
    if profile.passphrase != IN_KEYRING:
        return open_signer(profile.keys, digest)
    from alikassa.profiles.passphrases import find_passphrase

    return open_signer(profile.keys, digest, passphrase=find_passphrase(profile.keys))


def open_client(profile: Profile) -> Client:
    """A client for the profile's account. Raises ConfigurationError or CertificateError."""
    from alikassa.client.sync import Client

    return Client(profile.account, signer_of(profile), **_options(profile))


def open_async_client(profile: Profile) -> AsyncClient:
    """As `open_client`, for asyncio."""
    from alikassa.client.asynchronous import AsyncClient

    return AsyncClient(profile.account, signer_of(profile), **_options(profile))


def _options(profile: Profile) -> dict[str, Any]:
    names = ("base_url", "body", "fresh", "timeout", "attempt_timeout", "ca_bundle", "proxy", "http2")
    options = {name: value for name in names if (value := getattr(profile, name)) is not None}
    # A signer has chosen its digest, unless the server is to be asked for it.
    return options | ({"digest": _AUTO} if profile.digest == _AUTO else {})
