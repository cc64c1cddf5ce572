"""Keys of every form, made with OpenSSL where it is installed and with the product's own `keygen` in any case."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from alikassa.protocol.archive import generate

__all__ = ["PASSPHRASE", "keys"]

#: Of every protected key here.
PASSPHRASE = b"kLm0pQr5tUv7wXy9zAb2"
_COMMANDS = {
    "plain": "genrsa -out {0}",
    "traditional": "rsa -in plain -traditional -aes256 -passout pass:{1} -out {0}",
    "des3": "rsa -in plain -traditional -des3 -passout pass:{1} -out {0}",
    "plain-traditional": "rsa -in plain -traditional -out {0}",
    "pkcs8": "pkcs8 -topk8 -in plain -v2 aes-256-cbc -passout pass:{1} -out {0}",
    "pkcs8-sha1": "pkcs8 -topk8 -in plain -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout pass:{1} -out {0}",
    "pkcs8-scrypt": "pkcs8 -topk8 -in plain -scrypt -passout pass:{1} -out {0}",
    "pkcs8-der": "pkcs8 -topk8 -in plain -nocrypt -outform DER -out {0}",
    "pkcs8-encrypted-der": "pkcs8 -topk8 -in plain -passout pass:{1} -outform DER -out {0}",
    "der": "rsa -in plain -traditional -outform DER -out {0}",
    "small": "genrsa -out {0} 1024",
    "ec": "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {0}",
    "ed25519": "genpkey -algorithm ED25519 -out {0}",
    "public": "rsa -in plain -pubout -out {0}",
    "public-pkcs1": "rsa -in plain -RSAPublicKey_out -out {0}",
    "public-ec": "pkey -in ec -pubout -out {0}",
    "public-der": "rsa -in plain -pubout -outform DER -out {0}",
    "certificate": "req -x509 -new -key plain -days 30 -subj /CN=shop -out {0}",
    "certificate-ec": "req -x509 -new -key ec -days 30 -subj /CN=shop -out {0}",
    "request": "req -new -key plain -subj /CN=shop -out {0}",
    "pkcs12": "pkcs12 -export -inkey plain -in certificate -passout pass:{1} -out {0}",
}


@cache
def keys() -> dict[str, bytes]:
    """Keys by what they are; without OpenSSL, the product's own alone."""
    own, modern = generate(), generate(pkcs8=True)
    found = {"own": own.private_pem, "own-pkcs8": modern.private_pem, "own-public": own.public_pem}
    with tempfile.TemporaryDirectory(prefix="alikassa-fuzz-") as name:
        for kind, command in _COMMANDS.items():
            words = command.format(kind, PASSPHRASE.decode()).split()
            try:
                subprocess.run(["openssl", *words], cwd=name, capture_output=True, check=True)
            except (FileNotFoundError, subprocess.CalledProcessError):
                continue
            found[kind] = (Path(name) / kind).read_bytes()
    return found
