"""The client's peer: a program in the manner of the page's Python example, asking again and again.

As there: at each call the passphrase and the private key are read from disk, the body is signed, and one
`requests.post` without a session sends it. Prints one line of JSON: calls, seconds, the balance it was told.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import requests
from client_options import parse_options, repeat
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    import argparse

__all__ = ["ask_balance"]


def ask_balance(options: argparse.Namespace) -> str:
    payload = json.dumps({}).encode()
    passphrase = (options.keys / "password.txt").read_bytes().strip()
    key = serialization.load_pem_private_key((options.keys / "private.pem").read_bytes(), passphrase)
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
    answer = requests.post(
        f"{options.base_url}/v1/account/balance",
        data=payload,
        headers={
            "Content-Type": "application/json",
            "Account": options.account,
            "Sign": base64.b64encode(signature).decode(),
        },
        timeout=30,
        verify=str(options.ca),
    )
    fields: dict[str, Any] = answer.json()
    return str(fields["balance"])


if __name__ == "__main__":
    chosen = parse_options("Ask as the page's Python program does.")
    if chosen.once:
        print(ask_balance(chosen))
    else:
        repeat(lambda: ask_balance(chosen), chosen.seconds)
