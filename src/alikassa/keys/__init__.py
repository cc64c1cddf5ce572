"""Where a merchant's private key is, and the signer that uses it there."""

from alikassa.keys.memory import read_key
from alikassa.keys.places import open_signer
from alikassa.keys.public import public_key_of

__all__ = ["open_signer", "public_key_of", "read_key"]
