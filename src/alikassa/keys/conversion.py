"""An archive's private key in its other form, and who can read which."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from alikassa.errors import CertificateError
from alikassa.protocol.archive import PASSPHRASE, PRIVATE, PUBLIC, ArchiveFiles, read_secret
from alikassa.protocol.certificates import load_private_key, load_public_key, public_pem
from alikassa.protocol.forms import Form

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["converted", "readers", "write_over"]

_NEWLINE = b"\r\n"
# More than this OpenSSL takes for no traditional key.
_LONGEST_PASSPHRASE = 1023


#: The page's programs, in its order: whether each reads PKCS#8, and whether it drops the space around the passphrase.
_PROGRAMS = (
    ("PHP", True, False),
    ("Node", True, True),
    ("Python", True, True),
    ("Java", False, False),
    ("Go", False, False),
)


def converted(directory: Path, form: Form, *, trim: bool = False) -> ArchiveFiles:
    """The archive in `directory` with its private key in this form, under AES-256 and the passphrase that it had.

    `trim` takes the newline off the passphrase's end. Nothing is written. Raises CertificateError.
    """
    for name in (PRIVATE, PASSPHRASE):
        if not (directory / name).exists():
            raise CertificateError(
                f"There is no {directory / name}.",
                remedy=f"Name the folder of an archive: {PRIVATE}, and {PASSPHRASE} with the passphrase to protect it.",
            )
    key, passphrase = _opened(directory)
    if trim:
        passphrase = passphrase.rstrip(_NEWLINE)
    try:
        if not 0 < len(passphrase) <= _LONGEST_PASSPHRASE:
            raise CertificateError(
                f"{PASSPHRASE} holds no passphrase that could protect a key (1 to {_LONGEST_PASSPHRASE} bytes).",
                remedy=f"Put one into {directory / PASSPHRASE}.",
            )
        formats = {
            Form.TRADITIONAL: serialization.PrivateFormat.TraditionalOpenSSL,
            Form.PKCS8: serialization.PrivateFormat.PKCS8,
        }
        public = public_pem(key)
        return ArchiveFiles(
            private_pem=key.private_bytes(
                serialization.Encoding.PEM, formats[form], serialization.BestAvailableEncryption(passphrase)
            ),
            passphrase=passphrase if trim else read_secret(directory / PASSPHRASE),
            public_pem=public,
            public_key=load_public_key(public),
        )
    finally:
        del passphrase


def _opened(directory: Path) -> tuple[RSAPrivateKey, bytes]:
    """The private key, and the passphrase that opens it: without the newline after it, if it opens so."""
    try:
        key = load_private_key(read_secret(directory / PRIVATE), read_secret(directory / PASSPHRASE).rstrip(_NEWLINE))
        return key, read_secret(directory / PASSPHRASE).rstrip(_NEWLINE)
    except CertificateError:
        key = load_private_key(read_secret(directory / PRIVATE), read_secret(directory / PASSPHRASE))
        return key, read_secret(directory / PASSPHRASE)


def readers(files: ArchiveFiles) -> tuple[list[str], list[str]]:
    """Which of the page's five programs can read the archive, and which cannot."""
    pkcs8 = b"BEGIN ENCRYPTED PRIVATE KEY" in files.private_pem
    able: list[str] = []
    unable: list[str] = []
    for language, reads_pkcs8, trims in _PROGRAMS:
        opens = _opens(files.private_pem, files.passphrase.strip() if trims else files.passphrase)
        (able if opens and (reads_pkcs8 or not pkcs8) else unable).append(language)
    return able, unable


def _opens(pem: bytes, passphrase: bytes) -> bool:
    try:
        # Not `load_private_key`: that forgives a newline, which some of the programs do not.
        serialization.load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError):
        return False
    finally:
        del passphrase
    return True


def write_over(directory: Path, files: ArchiveFiles, *, names: tuple[str, ...]) -> None:
    """Write these files of an archive, each in one step, in place of what is there. Raises CertificateError."""
    contents = {
        PRIVATE: (files.private_pem, 0o600),
        PASSPHRASE: (files.passphrase, 0o600),
        PUBLIC: (files.public_pem, 0o644),
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            _replace(directory / name, *contents[name])
    except OSError as error:
        raise CertificateError(f"Cannot write to {directory}: {error.strerror}.") from None


def _replace(path: Path, content: bytes, mode: int) -> None:
    # `mkstemp` makes it for its owner only, so that there is no moment in which others can read it.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
