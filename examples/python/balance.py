#!/usr/bin/env python3
"""Asks for an account's balance, with `requests` and `cryptography` only."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import ssl
import sys
import time
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CONFIGURATION, REFUSED, NETWORK, SERVER = 3, 4, 5, 6  # exit codes
CONNECT_AND_READ_SECONDS = (5, 30)
BODY = b"{}"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,9}")
AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


class BalanceError(Exception):
    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Balance:
    currency: str
    balance: Decimal
    hold: Decimal
    rolling_reserve: Decimal
    pending_payouts: Decimal


class BalanceClient:
    """Make one and ask it as often as you like: it reads the key, and signs, only in its constructor.

    With `fresh` it signs each request anew, and each is good once, for servers that know it.
    """

    def __init__(self, base_url: str, keys: Path, ca_bundle: str | None = None, *, fresh: bool = False) -> None:
        check_address(base_url)
        self._url = base_url.rstrip("/") + "/v1/account/balance"
        # The body never changes and this kind of signature has no random part, so one signature serves
        # every request. Whoever reads it can ask too: keep it out of logs.
        self._key = load_key(keys)
        self._fresh = fresh
        self._sign = self._signed(BODY)
        self._verify = check_bundle(ca_bundle) if ca_bundle else True
        self._session = requests.Session()

    def _signed(self, body: bytes) -> str:
        return base64.b64encode(self._key.sign(body, PKCS1v15(), SHA256())).decode()

    def balance(self, account: str) -> Balance:
        body, sign = BODY, self._sign
        if self._fresh:
            stamp = {"account": account, "timestamp": int(time.time()), "nonce": secrets.token_urlsafe(16)}
            body = json.dumps(stamp).encode()
            sign = self._signed(body)
        try:
            response = self._session.post(
                self._url,
                data=body,
                headers={
                    "Content-Type": "application/json",
                    "Account": account,
                    "Sign": sign,
                    "User-Agent": "alikassa-example-python",
                },
                timeout=CONNECT_AND_READ_SECONDS,
                # Given here and not on the session, where REQUESTS_CA_BUNDLE would override it.
                verify=self._verify,
                # A redirect would take the Sign header to wherever it points.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise BalanceError(
                NETWORK,
                f"No answer from {self._url}: {error}\n"
                "Check the address and the network. A private CA is named with ALIKASSA_CA_BUNDLE.",
            ) from error
        return read_answer(response.status_code, response.content)


def read_answer(status: int, content: bytes) -> Balance:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise BalanceError(SERVER, f"HTTP {status} without a JSON object. Check ALIKASSA_BASE_URL.")
    if status == 400:
        raise BalanceError(REFUSED, describe_refusal(answer))
    if status != 200:
        raise BalanceError(SERVER, f"HTTP {status}: {answer.get('message', 'no message')}")
    amounts = (valid(answer, field.name, AMOUNT) for field in fields(Balance)[1:])
    return Balance(valid(answer, "currency", CURRENCY), *map(Decimal, amounts))


def valid(answer: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = answer.get(name)
    # Only strings: json has made a float of any bare number, which may have rounded it.
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BalanceError(SERVER, f"The answer's {name} is not what it should be. Do not use this answer.")
    return value


def describe_refusal(answer: dict[str, object]) -> str:
    lines = [f"The server refused the request: {answer.get('message', 'no message')}"]
    errors = answer.get("errors")
    for field, reasons in errors.items() if isinstance(errors, dict) else ():
        lines += [f"  {field}: {reason}" for reason in (reasons if isinstance(reasons, list) else [reasons])]
    return "\n".join(lines)


def load_key(keys: Path) -> RSAPrivateKey:
    try:
        pem = (keys / "private.pem").read_bytes()
        passphrase = (keys / "password.txt").read_bytes().rstrip(b"\r\n")
        key = load_pem_private_key(pem, passphrase)
    except OSError as error:
        raise BalanceError(
            CONFIGURATION, f"{error}\nSet ALIKASSA_KEYS to the folder of private.pem and password.txt."
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BalanceError(CONFIGURATION, f"In {keys}, password.txt does not open private.pem.") from error
    if not isinstance(key, RSAPrivateKey):
        raise BalanceError(CONFIGURATION, f"The key in {keys} is not an RSA key.")
    return key


def check_bundle(path: str) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise BalanceError(CONFIGURATION, f"ALIKASSA_CA_BUNDLE={path} has no certificates: {error}") from error
    return path


def check_address(base_url: str) -> None:
    parts = urlsplit(base_url)
    local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise BalanceError(CONFIGURATION, "ALIKASSA_BASE_URL must be https:// (or http:// to this machine).")


def main() -> int:
    account = os.environ.get("ALIKASSA_ACCOUNT", "")
    try:
        if not UUID.fullmatch(account):
            raise BalanceError(CONFIGURATION, "Set ALIKASSA_ACCOUNT to the account's uuid.")
        client = BalanceClient(
            os.environ.get("ALIKASSA_BASE_URL") or "https://api-merchant.alikassa.com",
            Path(os.environ.get("ALIKASSA_KEYS") or "cert/payout"),
            os.environ.get("ALIKASSA_CA_BUNDLE"),
            fresh=os.environ.get("ALIKASSA_FRESH") == "1",
        )
        balance = client.balance(account)
    except BalanceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"currency {balance.currency}\n")
    for field in fields(balance)[1:]:
        # Format f, because str() writes a zero of eight decimals as 0E-8.
        sys.stdout.write(f"{field.name} {getattr(balance, field.name):f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
