"""What is asked of a server under load: whole requests, made beforehand."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from conftest import PAGE_ACCOUNT, openssl_sign
from operator_server import API
from raw_http import balance_headers, request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operator_server import Operator

__all__ = ["known_requests", "payments", "unknown_requests"]


def known_requests(archive: Path, accounts: Sequence[str] = (PAGE_ACCOUNT,)) -> list[bytes]:
    """Balance requests whose signature a server knows after the first time."""
    return [request(balance_headers(archive, account=account).items(), keep_alive=True) for account in accounts]


def unknown_requests(archive: Path, account: str = PAGE_ACCOUNT) -> list[bytes]:
    """Balance requests whose body is too long to be remembered: each signature is verified anew."""
    body = json.dumps({"note": "x" * 80}).encode()
    headers = balance_headers(archive, body, account=account)
    headers["Sign"] = openssl_sign(archive, body)
    return [request(headers.items(), body, keep_alive=True)]


def payments(operator: Operator, accounts: Sequence[str], count: int) -> list[bytes]:
    """So many different payments of 1.00, over these accounts in turn."""
    run = uuid.uuid4().hex[:8]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {operator.write_token}"}
    return [
        request(
            headers.items(),
            json.dumps({"reference": f"{run}-{number}", "amount": "1.00"}).encode(),
            path=f"{API}/accounts/{accounts[number % len(accounts)]}/payment",
            keep_alive=True,
        )
        for number in range(count)
    ]
