"""What a key's file is, from its bytes alone: nothing is opened."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Form", "KeyFile", "look_at"]


class Form(StrEnum):
    """How a file holds a key."""

    TRADITIONAL = "traditional"
    PKCS8 = "PKCS#8"
    SEC1 = "SEC1 (elliptic curve)"
    OPENSSH = "OpenSSH"
    PUBLIC = "public key"
    PUBLIC_PKCS1 = "public key (PKCS#1)"
    CERTIFICATE = "X.509 certificate"
    DER = "DER"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class KeyFile:
    """A file's form, whether a passphrase protects it, and with which cipher ("" when that is not told)."""

    form: Form
    encrypted: bool = False
    cipher: str = ""

    def __str__(self) -> str:
        if self.form not in (Form.TRADITIONAL, Form.PKCS8):
            return self.form.value
        return f"{self.form.value}, {self.cipher or 'encrypted' if self.encrypted else 'not encrypted'}"


_LABELS = {
    b"RSA PRIVATE KEY": Form.TRADITIONAL,
    b"PRIVATE KEY": Form.PKCS8,
    b"ENCRYPTED PRIVATE KEY": Form.PKCS8,
    b"EC PRIVATE KEY": Form.SEC1,
    b"OPENSSH PRIVATE KEY": Form.OPENSSH,
    b"PUBLIC KEY": Form.PUBLIC,
    b"RSA PUBLIC KEY": Form.PUBLIC_PKCS1,
    b"CERTIFICATE": Form.CERTIFICATE,
}
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)(?:-----END|\Z)", re.DOTALL)
_DEK_INFO = re.compile(rb"DEK-Info: ?([A-Z0-9-]{1,40})")
# The object identifiers of the ciphers, as PKCS#8 has them in DER.
_CIPHERS = {
    bytes.fromhex("060960864801650304012a"): "AES-256-CBC",
    bytes.fromhex("0609608648016503040116"): "AES-192-CBC",
    bytes.fromhex("0609608648016503040102"): "AES-128-CBC",
    bytes.fromhex("06082a864886f70d0307"): "DES-EDE3-CBC",
}


def look_at(content: bytes) -> KeyFile:
    """What the first PEM block of a file says of itself. A private key goes before what stands around it."""
    blocks = [(label, text) for label, text in _BLOCK.findall(content) if label in _LABELS]
    if not blocks:
        # A DER file starts with a sequence of more than 127 bytes.
        return KeyFile(Form.DER if content[:1] == b"\x30" and content[1:2] >= b"\x80" else Form.UNKNOWN)
    label, text = next((block for block in blocks if b"PRIVATE" in block[0]), blocks[0])
    if label == b"ENCRYPTED PRIVATE KEY":
        return KeyFile(Form.PKCS8, encrypted=True, cipher=_cipher(text))
    info = _DEK_INFO.search(text)
    if info is not None:
        return KeyFile(_LABELS[label], encrypted=True, cipher=info[1].decode("ascii"))
    return KeyFile(_LABELS[label], encrypted=b"ENCRYPTED" in text)


def _cipher(text: bytes) -> str:
    try:
        der = base64.b64decode(b"".join(text.split()))
    except binascii.Error:
        return ""
    return next((name for identifier, name in _CIPHERS.items() if identifier in der[:256]), "")
