"""Keys that are read into memory: from a file, a stream, or a variable of the environment."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING, Protocol

from alikassa.errors import CertificateError, ConfigurationError
from alikassa.protocol.certificates import load_private_key
from alikassa.protocol.signatures import Digest, KeySigner

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["Readable", "from_environment", "read_key"]

#: More than any key takes, in bytes or characters.
LARGEST = 64 * 1024

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_BEGIN = b"-----BEGIN"


class Readable(Protocol):
    """A stream of text or bytes."""

    def read(self, size: int, /) -> str | bytes | None: ...


def read_key(
    file: Readable, passphrase: bytes | str | None = None, *, digest: Digest | str = Digest.SHA256
) -> KeySigner:
    """A signer for the private key that a stream holds: PEM, or base64 of it or of its DER, or DER.

    At most 64 KiB are read. Raises CertificateError, whose text says nothing of what was read, and ConfigurationError
    for an unknown digest.
    """
    # As the system's own settings come: bytes that are no UTF-8 among them.
    secret = passphrase.encode("utf-8", "surrogateescape") if isinstance(passphrase, str) else passphrase
    # What is read goes into no variable here: some tools print those of a traceback.
    try:
        return KeySigner(
            _open(_bounded(_read(file)), secret, where="the stream", remedy="Give passphrase."), chosen(digest)
        )
    finally:
        del secret, passphrase


def from_environment(name: str, digest: Digest, passphrase: bytes | None = None) -> KeySigner:
    """A signer for the private key in variable `name`, opened with NAME_PASSPHRASE or with `passphrase` in its place.

    Raises ConfigurationError when there is no such variable, CertificateError for what is no key.
    """
    if _VARIABLE.fullmatch(name) is None:
        # Somebody may have put the key where its variable's name belongs: it is not repeated.
        raise ConfigurationError(
            "What follows env: is no name of an environment variable.",
            remedy="Name the variable that holds the key: env:ALIKASSA_PRIVATE_KEY",
        )
    if not os.environ.get(name):
        raise ConfigurationError(
            f"The environment variable {name} is not set, or empty.",
            remedy=f'Put the private key into it: export {name}="$(cat private.pem)"',
        )
    other = f"{name}_PASSPHRASE"
    try:
        return KeySigner(
            _open(
                _bounded(os.environb[os.fsencode(name)] if hasattr(os, "environb") else os.environ[name].encode()),
                passphrase if passphrase is not None else _variable(other),
                where=f"the environment variable {name}",
                remedy=f"Set {other}.",
            ),
            digest,
        )
    finally:
        del passphrase


def chosen(digest: Digest | str | None) -> Digest:
    """The digest of that name, SHA-256 when none is named."""
    try:
        return Digest(digest or Digest.SHA256)
    except ValueError:
        raise ConfigurationError(f"{digest!r} is no digest.", remedy="Use sha256 or sha1.") from None


def _variable(name: str) -> bytes | None:
    value = os.environ.get(name)
    return None if value is None else os.fsencode(value)


def _read(file: Readable) -> bytes:
    content = b""
    try:
        # A pipe, a socket and other raw streams give what there is, not what was asked for.
        while len(content) <= LARGEST and (part := file.read(LARGEST + 1 - len(content))):
            content += part.encode() if isinstance(part, str) else part
    except (OSError, ValueError) as error:
        problem = type(error).__name__
    else:
        return content
    content = part = b""
    raise CertificateError(f"The stream with the private key cannot be read: {problem}.")


def _bounded(content: bytes) -> bytes:
    if len(content) <= LARGEST:
        return content
    del content
    raise CertificateError("This is too large to be a private key.", remedy="Give what private.pem holds: a few KiB.")


def _open(content: bytes, passphrase: bytes | None, *, where: str, remedy: str) -> RSAPrivateKey:
    try:
        content = _pem(content)
        if b"ENCRYPTED" in content and passphrase is None:
            raise CertificateError("The private key is protected by a passphrase, and there is none.", remedy=remedy)
        return load_private_key(content, passphrase)
    except CertificateError as error:
        problem = CertificateError(f"In {where}: {error}", remedy=error.remedy)
    del content, passphrase
    raise problem


def _pem(content: bytes) -> bytes:
    """PEM, whichever form the key has."""
    if _BEGIN in content:
        # Some tools keep variables on one line.
        return content.replace(b"\\n", b"\n")
    der = content
    if not content.startswith(b"\x30"):
        try:
            der = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            der = b""
    if _BEGIN in der:
        return der
    kind = _kind(der)
    if kind is None:
        raise CertificateError(
            "This is neither PEM, nor base64 of PEM or DER.",
            remedy="A private key as PEM starts with -----BEGIN; in base64 it is what this prints:"
            " base64 -w0 private.pem",
        )
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (kind, base64.encodebytes(der), kind)


def _kind(der: bytes) -> bytes | None:
    """What PEM calls a private key of this DER. All three are sequences; what they begin with tells them apart."""
    header = re.match(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)", der, re.DOTALL)
    if header is None:
        return None
    inner = der[header.end() :]
    if inner.startswith(b"\x30"):
        return b"ENCRYPTED PRIVATE KEY"
    if inner.startswith(b"\x02\x01\x00\x30"):
        return b"PRIVATE KEY"
    if inner.startswith(b"\x02\x01\x00\x02"):
        return b"RSA PRIVATE KEY"
    return None
