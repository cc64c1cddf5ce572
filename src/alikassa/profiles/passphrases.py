"""Passphrases in the system's keyring, each under the place of the key that it opens."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from alikassa.errors import CertificateError, ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["find_passphrase", "forget_passphrase", "store_passphrase"]

_SERVICE = "alikassa"
_REMEDY = "Unlock it, or keep the passphrase in the archive's password.txt: alikassa profile add NAME --replace"


def store_passphrase(keys: str, passphrase: bytes) -> None:
    """Keep the passphrase of the key at `keys` (its place, as a resolved profile has it).

    Raises ConfigurationError when there is no keyring that takes it, CertificateError for bytes that are no text:
    keyrings hold text only.
    """
    problem: Exception
    try:
        # The text goes into no variable: some tools print those of a traceback.
        _keyring().set_password(_SERVICE, keys, passphrase.decode("utf-8"))
    except UnicodeDecodeError:
        problem = CertificateError(
            "The passphrase is not UTF-8, and a keyring holds text only.", remedy="Leave it in password.txt."
        )
    except ConfigurationError as error:
        problem = error.with_traceback(None)
    except _failures() as error:
        problem = _unusable(error)
    else:
        return
    del passphrase
    raise problem from None


def find_passphrase(keys: str) -> bytes:
    """The passphrase of the key at `keys`. Raises ConfigurationError when the keyring has none, or cannot be asked."""
    try:
        found = _keyring().get_password(_SERVICE, keys)
    except _failures() as error:
        raise _unusable(error) from None
    if found is None:
        raise ConfigurationError(
            f"The system's keyring has no passphrase for {keys}.",
            remedy="Store it with: alikassa profile add NAME --replace --passphrase-in-keyring",
        )
    return bytes(found, "utf-8")


def forget_passphrase(keys: str) -> bool:
    """Take the passphrase of the key at `keys` out of the keyring. Whether there was one."""
    keyring = _keyring()
    try:
        if keyring.get_password(_SERVICE, keys) is None:
            return False
        keyring.delete_password(_SERVICE, keys)
    except _failures() as error:
        raise _unusable(error) from None
    return True


def _keyring() -> ModuleType:
    if find_spec("keyring") is None:
        raise ConfigurationError(
            "The keyring needs a package that is not installed (keyring).",
            remedy="Install it with: pip install 'alikassa[keyring]'",
        )
    import keyring

    return keyring


def _failures() -> tuple[type[Exception], ...]:
    from keyring.errors import KeyringError

    # Backends hand through what their services raise.
    return (KeyringError, OSError, RuntimeError, ValueError)


def _unusable(error: Exception) -> ConfigurationError:
    # Its kind and not its text: a backend may repeat what it was given.
    return ConfigurationError(f"The system's keyring cannot be used ({type(error).__name__}).", remedy=_REMEDY)
