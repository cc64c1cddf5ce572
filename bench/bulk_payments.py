"""Books payments through the operator's API for some seconds, many in one request, and prints how many a second.

    bulk_payments.py URL --token-file FILE --accounts-file FILE --seconds N

Every command must be answered as booked, with its five postings.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_TOGETHER = 500
_CONNECTIONS = 2


def book(url: str, token: str, accounts: list[str], until: float, booked: list[int]) -> None:
    """One connection's requests, one after the other."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    run, number = uuid.uuid4().hex, 0
    while time.perf_counter() < until:
        commands = []
        for _ in range(_TOGETHER):
            number += 1
            account = accounts[number % len(accounts)]
            commands.append(
                {"kind": "payment", "account": account, "amount": "1000.00", "reference": f"{run}-{number}"}
            )
        connection.request("POST", "/operator/v1/bulk", msgspec.json.encode({"commands": commands}), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body[:300]
        results = msgspec.json.decode(body)["results"]
        assert len(results) == _TOGETHER
        assert all(one["status"] == 201 for one in results), results[0]
        assert all(len(one["entry"]["postings"]) == 5 for one in results[:1]), results[0]
        booked.append(len(results))
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--accounts-file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    token, accounts = options.token_file.read_text().strip(), options.accounts_file.read_text().split()
    booked: list[int] = []
    begun = time.perf_counter()
    threads = [
        threading.Thread(target=book, args=(options.url, token, accounts, begun + options.seconds, booked))
        for _ in range(_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"rate": sum(booked) / (time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
