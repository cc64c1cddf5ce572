"""A private key's file with its passphrase: PEM of every kind."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from alikassa.doctor.archive import Archive, File, check_archive
from alikassa.doctor.keyfile import look_at
from alikassa.errors import CertificateError
from alikassa.protocol.certificates import LARGEST_BITS, SMALLEST_BITS, load_private_key
from alikassa.protocol.signatures import Digest, KeySigner, signed_digest
from fuzz.material import PASSPHRASE, keys
from fuzz.oracle import see_refusal

FOLDER = Path("archive")


def seeds() -> list[bytes]:
    one = keys()["own"]
    return [
        *(b"\x00" + content for content in keys().values()),
        *(b"\x01" + content for content in keys().values()),
        b"\x01" + one.replace(b"DEK-Info: AES-256-CBC", b"DEK-Info: ROT13"),
        b"\x01" + one.replace(b"\n", b"\r\n"),
        b"\x00" + one[: len(one) // 2],
        b"\x02" + one + one,
    ]


def check(data: bytes) -> None:
    """The doctor has a word for it. A key that is taken signs; a refusal repeats neither the key nor its passphrase."""
    how, pem = data[:1], data[1:]
    passphrase = {b"\x00": None, b"\x01": PASSPHRASE, b"\x02": PASSPHRASE + b"\r\n"}.get(how, pem[-20:])
    assert str(look_at(pem))
    assert check_archive(
        Archive(FOLDER, True, File(FOLDER, pem, 0o600), File(FOLDER, passphrase, 0o600), File(FOLDER, pem), passphrase)
    )
    try:
        key = load_private_key(pem, passphrase)
    except CertificateError as error:
        see_refusal(error, pem)
        see_refusal(error, passphrase or b"")
        return
    assert isinstance(key, RSAPrivateKey)
    assert SMALLEST_BITS <= key.key_size <= LARGEST_BITS
    signature = KeySigner(key).sign(b"{}")
    assert signed_digest(key.public_key(), signature, b"{}") is Digest.SHA256
