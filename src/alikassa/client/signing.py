"""Who signs, with which digest; and, where that is open, which digest the server was found to take."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol, cast

from cryptography.exceptions import InternalError, UnsupportedAlgorithm

from alikassa.client.background import Background
from alikassa.client.wire import Secret
from alikassa.errors import ConfigurationError
from alikassa.keys import open_signer
from alikassa.protocol.signatures import Digest, KeySigner, Signer, encode_sign

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["AUTO", "BlockingSigner", "DigestSigner", "Signing"]

#: The digest setting that asks the server.
AUTO = "auto"

_REMEDY_FOR_SHA1 = (
    'Use digest="sha256" if the server takes it. Otherwise allow SHA-1 signatures (on Red Hat and its kin:'
    " update-crypto-policies --set DEFAULT:SHA1), or install cryptography from PyPI, which brings its own OpenSSL."
)


class DigestSigner(Signer, Protocol):
    """A signer that can sign with either digest."""

    def with_digest(self, digest: Digest, /) -> Signer: ...


class BlockingSigner(Signer, Protocol):
    """A signer that may have to wait, for a device or a network: its `blocks` is true.

    A client has it sign in a thread of its own, and waits no longer than its call's time. What comes too late is
    remembered for the next call, unless each request has a body of its own.
    """

    @property
    def blocks(self) -> bool: ...


class Signing:
    """A client's signatures. One over its constant body is made once; any other is made when it is asked for.

    `digest` is the one in use; None as long as `auto` has not found it, and for a signer that does not say.
    `undecided` is whether `auto` has still to find it, `chosen` what it found.
    """

    def __init__(self, keys: str | os.PathLike[str] | Signer, digest: Digest | str | None, body: bytes) -> None:
        self.undecided = digest == AUTO
        self.chosen: Digest | None = None
        self._keys = keys
        self._body = body
        self._signs: dict[Digest | None, Secret] = {}
        self.after_fork()
        self._signer = _signer(keys, Digest.SHA256 if self.undecided else digest, choice=self.undecided)
        self.digest: Digest | None = None if self.undecided else _digest_of(self._signer)
        if isinstance(self._signer, KeySigner) and self.digest is Digest.SHA1:
            # Some platforms forbid SHA-1 signatures. Now is a better time to learn it than at the first call.
            self.sign(None, body)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._background: Background[tuple[Digest | None, bytes], Secret] = Background(self.sign)

    def begin(self, digest: Digest | None, body: bytes) -> Future[Secret] | None:
        """Have a signer that blocks begin to sign: once that is done, `sign` waits for nothing. None: it never does."""
        if (digest in self._signs and body == self._body) or getattr(self._signer, "blocks", False) is not True:
            return None
        return self._background.begin((digest, body))

    def sign(self, digest: Digest | None, body: bytes) -> Secret:
        """`Sign` over this body, with this digest; None is the signer's own."""
        if body != self._body:
            with self._lock:
                return Secret(self._make(digest, body))
        found = self._signs.get(digest)
        if found is None:
            with self._lock:
                found = self._signs.get(digest)
                if found is None:
                    found = self._signs[digest] = Secret(self._make(digest, body))
        return found

    def decide(self, digest: Digest) -> bool:
        """`auto` found the digest that the server takes. False when it was known already."""
        new = self.undecided
        # In this order: who sees that it is decided must find what was chosen.
        self.chosen = self.digest = digest
        self.undecided = False
        return new

    def _make(self, digest: Digest | None, body: bytes) -> str:
        signer = self._signer if digest is None else self._with_digest(digest)
        try:
            signature = signer.sign(body)
        except (InternalError, UnsupportedAlgorithm, ValueError) as error:
            if not isinstance(signer, KeySigner) or signer.digest is not Digest.SHA1:
                raise
            raise ConfigurationError(
                "The OpenSSL of this machine makes no SHA-1 signatures.", remedy=_REMEDY_FOR_SHA1
            ) from error
        if not isinstance(signature, bytes):
            raise ConfigurationError(
                f"The signer gives {type(signature).__name__}.", remedy="sign(bytes) returns the raw signature."
            )
        return encode_sign(signature)

    def _with_digest(self, digest: Digest) -> Signer:
        if callable(getattr(self._signer, "with_digest", None)):
            return cast("DigestSigner", self._signer).with_digest(digest)
        return open_signer(cast("str | os.PathLike[str]", self._keys), digest)

    def __repr__(self) -> str:
        return repr(self._signer)


def _signer(keys: str | os.PathLike[str] | Signer, digest: Digest | str | None, *, choice: bool) -> Signer:
    """`choice` is whether it has to be able to sign with either digest."""
    if isinstance(keys, str | os.PathLike):
        return open_signer(keys, digest)
    if not callable(getattr(keys, "sign", None)):
        raise ConfigurationError(
            "keys is neither a folder nor a signer.", remedy="Give the archive's folder, or an object with sign(bytes)."
        )
    if choice and not callable(getattr(keys, "with_digest", None)):
        raise ConfigurationError(
            "This signer has no choice of digest, so there is none to find out.",
            remedy="Leave digest out, or give the signer a method with_digest(digest) that returns a signer.",
        )
    if digest is not None and not choice:
        raise ConfigurationError("A signer chooses its digest itself.", remedy="Leave digest out.")
    return keys


def _digest_of(signer: Signer) -> Digest | None:
    try:
        return Digest(str(getattr(signer, "digest", "")))
    except ValueError:
        return None
