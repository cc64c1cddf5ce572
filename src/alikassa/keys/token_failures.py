"""What a token says when it does not sign, in this project's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkcs11 import exceptions

from alikassa.errors import AlikassaError, CertificateError, ConfigurationError, NetworkError

if TYPE_CHECKING:
    from alikassa.keys.token_uri import TokenKey

__all__ = ["is_lost", "translated"]

_LOST = (
    exceptions.SessionClosed,
    exceptions.SessionHandleInvalid,
    exceptions.ObjectHandleInvalid,
    exceptions.KeyHandleInvalid,
    exceptions.UserNotLoggedIn,
    exceptions.DeviceRemoved,
    exceptions.DeviceError,
    exceptions.TokenNotPresent,
)
_NOT_INITIALIZED = "(not initialized)"

_PIN = "A few wrong ones lock the token: correct it before you try again."
_CERTIFICATE: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.PinIncorrect, "The PIN is wrong.", _PIN),
    (exceptions.PinLenRange, "The PIN is shorter or longer than any of this token.", _PIN),
    (exceptions.PinInvalid, "The PIN has characters that this token does not take.", _PIN),
    (exceptions.PinExpired, "The PIN has expired.", "Set a new one with the token's own tool."),
    (exceptions.PinLocked, "Too many wrong PINs: the token is locked.", "Unlock it with its security officer's PIN."),
    (exceptions.UserPinNotInitialized, "The token has no user PIN yet.", "Set one with the token's own tool."),
    (
        exceptions.UserNotLoggedIn,
        "The token wants a login for each signature.",
        "Use a key without always-authenticate.",
    ),
    (exceptions.MechanismInvalid, "The token makes no such signature with this key.", "Use an RSA key, and sha256."),
    (exceptions.KeyTypeInconsistent, "The token makes no such signature with this key.", "Use an RSA key."),
    (exceptions.TokenNotRecognised, "The token is not initialised.", "Initialise it with its own tool."),
)
_CONFIGURATION: tuple[type[Exception], ...] = (
    exceptions.ArgumentsBad,
    exceptions.FunctionNotSupported,
    exceptions.AnotherUserAlreadyLoggedIn,
)


def is_lost(error: exceptions.PKCS11Error) -> bool:
    """Whether a new session may do what this one cannot any more."""
    return isinstance(error, _LOST) or _NOT_INITIALIZED in str(error)


def translated(error: exceptions.PKCS11Error, key: TokenKey) -> AlikassaError:
    """CertificateError and ConfigurationError for what stays so until somebody does something; NetworkError, which may
    be tried again, for a token that does not answer."""
    for kind, what, remedy in _CERTIFICATE:
        if isinstance(error, kind):
            return CertificateError(f"The key {key} does not sign. {what}", remedy=remedy)
    said = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
    if isinstance(error, _CONFIGURATION) or "loading" in str(error):
        return ConfigurationError(
            f"The PKCS#11 library {key.module} cannot be used ({said}).",
            remedy="Correct module-path; the library comes with the token, for this machine's kind of processor.",
        )
    return NetworkError(
        f"The token of the key {key} does not answer ({said}).", remedy="Look whether it is plugged in and reachable."
    )
