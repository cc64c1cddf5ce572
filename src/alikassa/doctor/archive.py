"""The archive, file by file: a thin probe reads it, pure checks say what it is."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from alikassa.doctor.findings import Finding, Level
from alikassa.doctor.keyfile import Form, look_at

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["Archive", "File", "check_archive", "fingerprint_of", "read_archive"]

_LARGEST_FILE = 64 * 1024
# What JavaScript's trim() takes away, as far as an editor writes it: a byte order mark is among it.
_TRIMMED = "\t\n\v\f\r \xa0\ufeff"
_CIPHER = "cipher"
_NAMES = ("private.pem", "password.txt", "public.pem")


@dataclass(frozen=True)
class File:
    """A file as found. `content` is None when it is not there or not read.

    `code` is then the finding that says why not, "" for one that is not there, and `problem` the system's own words.
    """

    path: Path
    content: bytes | None = field(default=None, repr=False)
    mode: int = 0
    code: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Archive:
    """A folder as found. `passphrase` is what opens the key: password.txt's content, or the keyring's."""

    path: Path
    exists: bool
    private: File
    password: File
    public: File
    passphrase: bytes | None = field(default=None, repr=False)


def read_archive(path: Path, passphrase: bytes | None = None) -> Archive:
    """Read a folder's three files, none larger than 64 KiB. `passphrase` goes before password.txt."""
    private, password, public = (_read(path / name) for name in _NAMES)
    chosen = password.content if passphrase is None else passphrase
    # A folder that may not be entered cannot be seen either: then its files tell.
    return Archive(path, os.path.isdir(path) or bool(private.code), private, password, public, chosen)


def _read(path: Path) -> File:
    try:
        # Without waiting: a pipe that nobody writes into would never open.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return File(path, code="archive.not_a_file")
            content = file.read(_LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return File(path)
    except IsADirectoryError:
        return File(path, code="archive.not_a_file")
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        return File(path, code="archive.unreadable", problem=problem)
    if len(content) > _LARGEST_FILE:
        return File(path, code="archive.too_large")
    return File(path, content, stat.S_IMODE(mode))


def check_archive(archive: Archive, payment: Archive | None = None) -> list[Finding]:
    """Everything that the files say. `payment` is the other archive, to find what was mixed up."""
    if not archive.exists:
        return [Finding(Level.ERROR, "archive.missing", {"path": str(archive.path)})]
    findings = [*_files(archive), *_permissions(archive)]
    if archive.private.content is None:
        return findings
    return findings + _key(archive, payment)


def fingerprint_of(archive: Archive) -> str:
    """Of the private key's public half, "" when it cannot be opened."""
    key = _open(archive.private.content or b"", _candidates(archive.passphrase))[0]
    return "" if key is None else _fingerprint(key.public_key())


def _files(archive: Archive) -> list[Finding]:
    files = (archive.private, archive.password, archive.public)
    found = [
        Finding(
            # Nobody signs with public.pem.
            Level.WARNING if file is archive.public else Level.ERROR,
            file.code,
            {"path": str(file.path), "problem": file.problem},
        )
        for file in files
        if file.code
    ]
    names = ", ".join(file.path.name for file in files if file.content is not None)
    if names:
        found.append(Finding(Level.OK, "archive.files", {"path": str(archive.path), "names": names}))

    def missing(level: Level, code: str, file: File) -> None:
        if file.content is None and not file.code:
            found.append(Finding(level, code, {"path": str(file.path)}))

    missing(Level.ERROR, "archive.private_missing", archive.private)
    if archive.passphrase is None and look_at(archive.private.content or b"").encrypted:
        missing(Level.ERROR, "archive.passphrase_missing", archive.password)
    missing(Level.NOTE, "archive.public_missing", archive.public)
    return found


def _permissions(archive: Archive) -> list[Finding]:
    return [
        Finding(
            Level.WARNING,
            "archive.open_to_others",
            {"path": str(file.path), "quoted": quote(str(file.path)), "mode": f"{file.mode:04o}"},
        )
        for file in (archive.private, archive.password)
        if file.content is not None and os.name == "posix" and file.mode & 0o066
    ]


def _key(archive: Archive, payment: Archive | None) -> list[Finding]:
    content = archive.private.content or b""
    file = look_at(content)
    if file.form in (Form.PUBLIC, Form.PUBLIC_PKCS1, Form.CERTIFICATE, Form.DER, Form.UNKNOWN):
        return [Finding(Level.ERROR, "key.not_private", {"form": file.form.value})]
    found = [Finding(Level.OK, "key.form", {"form": str(file)})]
    if file.encrypted and archive.passphrase is None:
        return found
    if not file.encrypted:
        found.append(Finding(Level.WARNING, "key.unencrypted"))
    key, how = _open(content, _candidates(archive.passphrase) if file.encrypted else {"": None})
    if key is None and file.encrypted:
        return [*found, Finding(Level.ERROR, "key.cipher" if how == _CIPHER else "key.passphrase_wrong")]
    if key is None:
        return [*found, Finding(Level.ERROR, "key.damaged")]
    opened = _candidates(archive.passphrase)[how] if file.encrypted else None
    if file.encrypted:
        found.append(_passphrase(archive, how))
    rsa = _rsa(key)
    usable = all(finding.level is not Level.ERROR for finding in rsa)
    return [*found, *rsa, *_public(archive, key, payment), *(_programs(archive, opened) if usable else [])]


def _candidates(passphrase: bytes | None) -> dict[str, bytes | None]:
    """The passphrase, and what it would be without what editors add, by what that is."""
    if passphrase is None:
        return {"": None}
    candidates: dict[str, bytes | None] = {"": passphrase, "newline": passphrase.rstrip(b"\r\n")}
    candidates["UTF-8 BOM"] = passphrase.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    candidates["spaces"] = passphrase.strip()
    if passphrase[:2] in (b"\xff\xfe", b"\xfe\xff"):
        candidates["UTF-16"] = passphrase.decode("utf-16", "replace").strip().encode()
    return candidates


def _open(content: bytes, candidates: dict[str, bytes | None]) -> tuple[PrivateKeyTypes | None, str]:
    """The key, and the name of the candidate that opened it; without a key, whether its cipher is the reason."""
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    reason = ""
    for how, candidate in candidates.items():
        try:
            return serialization.load_pem_private_key(content, candidate, unsafe_skip_rsa_key_validation=True), how
        except UnsupportedAlgorithm:
            reason = _CIPHER
        except InternalError:
            pass  # `damaged` says it
        except (ValueError, TypeError) as error:
            # The library has no class of its own for a cipher that it does not know.
            reason = _CIPHER if "unknown" in str(error).lower() else reason
    return None, reason


def _passphrase(archive: Archive, how: str) -> Finding:
    passphrase = archive.passphrase or b""
    if how == "":
        return Finding(Level.OK, "key.passphrase_exact")
    if how == "newline":
        values = {"bytes": "CRLF" if passphrase.endswith(b"\r\n") else "LF", "path": quote(str(archive.password.path))}
        return Finding(Level.WARNING, "key.passphrase_newline", values)
    return Finding(Level.ERROR, "key.passphrase_spoilt", {"what": how})


def _rsa(key: PrivateKeyTypes) -> list[Finding]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from alikassa.protocol.certificates import LARGEST_BITS, SMALLEST_BITS

    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.replace("PrivateKey", "").replace("EllipticCurve", "EC")
        return [Finding(Level.ERROR, "key.not_rsa", {"kind": kind})]
    bits = str(key.key_size)
    if not SMALLEST_BITS <= key.key_size <= LARGEST_BITS:
        return [Finding(Level.ERROR, "key.size", {"bits": bits})]
    return [Finding(Level.OK, "key.rsa", {"bits": bits, "fingerprint": _fingerprint(key.public_key())})]


def _fingerprint(key: object) -> str:
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return hashlib.sha256(der).hexdigest()


def _public(archive: Archive, key: PrivateKeyTypes, payment: Archive | None) -> list[Finding]:
    own = _fingerprint(key.public_key())
    other = "" if payment is None else fingerprint_of(payment)
    same = [Finding(Level.ERROR, "key.same_as_payment")] if other == own else []
    content = archive.public.content
    if content is None:
        return same
    form = look_at(content).form
    if form not in (Form.PUBLIC, Form.PUBLIC_PKCS1):
        return [*same, Finding(Level.WARNING, "key.public_certificate", {"form": form.value})]
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from alikassa.protocol.certificates import UNREADABLE

    try:
        found = _fingerprint(load_pem_public_key(content))
    except UNREADABLE:
        return [*same, Finding(Level.WARNING, "key.public_certificate", {"form": Form.UNKNOWN.value})]
    if found == own:
        return [*same, Finding(Level.OK, "key.public_belongs")]
    if found == other:
        return [*same, Finding(Level.ERROR, "key.public_of_payment")]
    return [*same, Finding(Level.ERROR, "key.public_other", {"fingerprint": found})]


def _programs(archive: Archive, opened: bytes | None) -> list[Finding]:
    """Which of the page's five programs read this archive, as they were seen to. `opened` is what opens the key."""
    form = look_at(archive.private.content or b"").form
    text = archive.password.content
    if opened is None or text is None or form not in (Form.TRADITIONAL, Form.PKCS8):
        return []
    exact = text == opened
    traditional = form is Form.TRADITIONAL
    able = {
        "PHP": exact,
        "Node": text.decode("utf-8", "replace").strip(_TRIMMED).encode() == opened,
        "Python": text.strip() == opened,
        "Java": exact and traditional,
        "Go": exact and traditional,
    }
    values = {
        "able": ", ".join(name for name, reads in able.items() if reads) or "-",
        "unable": ", ".join(name for name, reads in able.items() if not reads),
    }
    if values["unable"]:
        return [Finding(Level.NOTE, "key.programs", values)]
    return [Finding(Level.OK, "key.all_programs", values)]
