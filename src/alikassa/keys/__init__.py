"""Where a merchant's private key is, and the signer that uses it there."""

from alikassa.keys.places import open_signer

__all__ = ["open_signer"]
