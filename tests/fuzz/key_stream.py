"""A private key out of a stream or a variable: PEM, DER, or base64 of either."""

from __future__ import annotations

import base64
import io

from alikassa.errors import CertificateError
from alikassa.keys import read_key
from alikassa.protocol.signatures import Digest, signed_digest
from fuzz.material import PASSPHRASE, keys
from fuzz.oracle import see_refusal


def seeds() -> list[bytes]:
    found = list(keys().values())
    return [
        *(b"\x01" + content for content in found),
        *(b"\x01" + base64.b64encode(content) for content in found),
        *(b"\x00" + content.replace(b"\n", b"\\n") for content in found),
        *(b"\x00" + base64.encodebytes(content) for content in found),
    ]


def check(data: bytes) -> None:
    """A signer that comes out of it signs; a refusal repeats nothing of it."""
    passphrase = PASSPHRASE if data[:1] == b"\x01" else None
    try:
        signer = read_key(io.BytesIO(data[1:]), passphrase)
    except CertificateError as error:
        see_refusal(error, data[1:])
        see_refusal(error, PASSPHRASE)
        return
    assert signed_digest(signer.public_key(), signer.sign(b"{}"), b"{}") is Digest.SHA256
