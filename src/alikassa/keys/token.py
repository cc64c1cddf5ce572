"""A key that stays in a token: an HSM, a smart card, SoftHSM. PKCS#11 asks it to sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from alikassa.keys.extras import extra
from alikassa.keys.processes import PerProcess
from alikassa.protocol.signatures import Digest, digest_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.keys.token_uri import TokenKey

__all__ = ["TokenSigner"]

T = TypeVar("T")


class TokenSigner:
    """A signer whose private key is in a token. Threads may share it, and a forked child opens a session of its own.

    The token is opened at once. Raises ConfigurationError (no such library, a missing package), CertificateError (no
    such token or key, a wrong PIN) and NetworkError (the token does not answer).
    """

    #: The device may be far away, or wait for somebody.
    blocks = True

    def __init__(self, key: TokenKey, digest: Digest = Digest.SHA256, *, pin: bytes | None = None) -> None:
        self.digest = digest
        try:
            self._token = _Token(key, None if pin is None else pin.decode("utf-8", "replace").rstrip("\r\n"))
        finally:
            # Some tools print the variables of a traceback.
            del pin
        self._token.use(_nothing)

    def sign(self, data: bytes, /) -> bytes:
        return self._token.use(lambda key: _signature(key, self.digest, data))

    def with_digest(self, digest: Digest, /) -> TokenSigner:
        """The same key, signing with this digest."""
        other = object.__new__(TokenSigner)
        other.digest, other._token = digest, self._token
        return other

    def public_key(self) -> RSAPublicKey:
        return self._token.use(_public_key)

    def __repr__(self) -> str:
        return f"<TokenSigner {self._token.key} {self.digest}>"


class _Token:
    """A token's private key, in a session of each process that uses it."""

    def __init__(self, key: TokenKey, pin: str | None) -> None:
        self.key = key
        self._given_pin = pin
        del pin
        with extra("pkcs11", "pkcs11", "A key in a token"):
            import pkcs11  # noqa: F401 - told now, not at the first signature
        self._sessions: PerProcess[_Session] = PerProcess(_Session)

    def use(self, act: Callable[[Any], T]) -> T:
        """What `act` makes of the private key. A session that was lost is opened anew, once."""
        from pkcs11.exceptions import PKCS11Error

        from alikassa.keys.token_failures import is_lost, translated
        from alikassa.keys.token_library import library_at

        library, session = library_at(self.key.module), self._sessions.get()
        try:
            with library.lock:
                if session.key is not None:
                    try:
                        return act(session.key)
                    except PKCS11Error as error:
                        if not is_lost(error):
                            raise
                session.key = None
                session.key = library.open_key(self.key, self._pin)
                return act(session.key)
        except PKCS11Error as error:
            raise translated(error, self.key) from error

    def _pin(self) -> str:
        return self.key.pin() if self._given_pin is None else self._given_pin


class _Session:
    """A process's key in the token, None while there is none."""

    key: Any = None


def _signature(key: Any, digest: Digest, data: bytes) -> bytes:
    from pkcs11 import Mechanism
    from pkcs11.exceptions import FunctionNotSupported, KeyTypeInconsistent, MechanismInvalid

    whole = {Digest.SHA256: Mechanism.SHA256_RSA_PKCS, Digest.SHA1: Mechanism.SHA1_RSA_PKCS}[digest]
    try:
        return bytes(key.sign(data, mechanism=whole))
    except (MechanismInvalid, FunctionNotSupported, KeyTypeInconsistent):
        # Not every token knows every digest; it need not, the digest can be made here.
        return bytes(key.sign(digest_info(digest, data), mechanism=Mechanism.RSA_PKCS))


def _public_key(key: Any) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from pkcs11 import Attribute

    modulus, exponent = key[Attribute.MODULUS], key[Attribute.PUBLIC_EXPONENT]
    return RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def _nothing(_: Any) -> None:
    """To open the token and see that the key is there."""
