"""A merchant's archive: a folder with private.pem, password.txt and public.pem."""

from __future__ import annotations

import os
import secrets
import stat
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from alikassa import clock
from alikassa.errors import CertificateError
from alikassa.protocol.certificates import (
    SMALLEST_BITS,
    generate_private_key,
    load_private_key,
    load_public_key,
    public_pem,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from alikassa.protocol.certificates import PublicKey

__all__ = [
    "PASSPHRASE",
    "PRIVATE",
    "PUBLIC",
    "ArchiveFiles",
    "InsecureKeyWarning",
    "generate",
    "load",
    "read_secret",
    "write",
    "zipped",
]

PRIVATE = "private.pem"
PASSPHRASE = "password.txt"  # noqa: S105 - a file's name
PUBLIC = "public.pem"

# Larger than any key file by far: a wrong path must not fill the memory.
_LARGEST_FILE = 64 * 1024
# What a zip's entries say of the system whose file modes they hold.
_UNIX = 3


class InsecureKeyWarning(UserWarning):
    """Others on this machine may read the private key or its passphrase."""


@dataclass(frozen=True)
class ArchiveFiles:
    """The three files of a new archive, as bytes."""

    private_pem: bytes = field(repr=False)
    passphrase: bytes = field(repr=False)
    public_pem: bytes
    public_key: PublicKey


def generate(bits: int = SMALLEST_BITS, *, pkcs8: bool = False) -> ArchiveFiles:
    """A new archive, in memory.

    private.pem is traditional PEM under AES-256 and the passphrase ends without a newline: the one form that
    programs in all five of the page's languages read. With `pkcs8` it is PKCS#8, which Java's and Go's do not.
    """
    key = generate_private_key(bits)
    passphrase = secrets.token_urlsafe(24).encode("ascii")
    pkcs1_or_8 = serialization.PrivateFormat.PKCS8 if pkcs8 else serialization.PrivateFormat.TraditionalOpenSSL
    public = public_pem(key)
    return ArchiveFiles(
        private_pem=key.private_bytes(
            serialization.Encoding.PEM, pkcs1_or_8, serialization.BestAvailableEncryption(passphrase)
        ),
        passphrase=passphrase,
        public_pem=public,
        public_key=load_public_key(public),
    )


def write(directory: Path, files: ArchiveFiles) -> None:
    """Write the three files into `directory`, made if needed (0700). Overwrites nothing: CertificateError."""
    present = [name for name in (PRIVATE, PASSPHRASE, PUBLIC) if os.path.lexists(directory / name)]
    if present:
        raise CertificateError(
            f"{directory} already holds {', '.join(present)}; nothing was written.",
            remedy="Choose another folder: a key that is in use must not be overwritten.",
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(directory / PRIVATE, files.private_pem, 0o600)
        _create(directory / PASSPHRASE, files.passphrase, 0o600)
        _create(directory / PUBLIC, files.public_pem, 0o644)
    except OSError as error:
        raise CertificateError(f"Cannot write to {directory}: {error.strerror}.") from error


def zipped(files: ArchiveFiles, folder: str) -> bytes:
    """The three files as a zip, in memory: `folder`/private.pem and so on, for nobody but their owner (0600)."""
    # Seldom asked for; it would cost every command a few milliseconds.
    import io
    import zipfile

    packed = io.BytesIO()
    at = clock.now().timetuple()[:6]
    with zipfile.ZipFile(packed, "w") as archive:
        entries = ((PRIVATE, files.private_pem, 0o600), (PASSPHRASE, files.passphrase, 0o600))
        for name, content, mode in (*entries, (PUBLIC, files.public_pem, 0o644)):
            entry = zipfile.ZipInfo(f"{folder}/{name}", at)
            entry.create_system = _UNIX
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def _create(path: Path, content: bytes, mode: int) -> None:
    # Exclusive and with its mode from the start, so that there is no moment in which others can read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(content)


def load(directory: Path, *, passphrase: bytes | None = None) -> RSAPrivateKey:
    """The private key of the archive in `directory`, opened with its password.txt or with `passphrase` in its place.

    Warns (InsecureKeyWarning) when others may read either file. Raises CertificateError.
    """
    if not directory.is_dir():
        raise CertificateError(
            f"There is no folder {directory}.",
            remedy=f"Name the folder that holds {PRIVATE} and {PASSPHRASE}, or make one with: alikassa keygen DIR",
        )
    if passphrase is not None:
        try:
            return load_private_key(read_secret(directory / PRIVATE), passphrase)
        finally:
            del passphrase
    protected = (directory / PASSPHRASE).exists()
    # The contents go into no variable here: some tools print those of a traceback.
    return load_private_key(
        read_secret(directory / PRIVATE), read_secret(directory / PASSPHRASE) if protected else None
    )


def read_secret(path: Path) -> bytes:
    """A file with a key or a passphrase, 64 KiB at most.

    Warns (InsecureKeyWarning) when others may read it. Raises CertificateError.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise CertificateError(f"There is no {path}.", remedy="Unpack the whole archive there.") from None
    except OSError as error:
        raise CertificateError(f"Cannot read {path}: {error.strerror}.") from error
    if len(content) > _LARGEST_FILE:
        raise CertificateError(f"{path} is too large to be a key.")
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.warn(
            f"{path} can be read by others on this machine. Close it with: chmod 600 {path}",
            InsecureKeyWarning,
            stacklevel=3,
        )
    return content
