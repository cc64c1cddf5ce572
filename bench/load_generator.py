"""A load generator for machines without wrk: connections that stay open, requests built beforehand, one thread.

Prints the same line of JSON as balance.lua. It is slower than wrk and than a bare server, which then looks slower
than it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import cast

import uvloop

__all__ = ["main"]

_BODY = "{}"


def build_requests(file: Path, port: int, body: str = _BODY) -> list[bytes]:
    """A request for each line of account, tab, `Sign`."""
    requests = []
    for line in file.read_text().splitlines():
        account, sign = line.split("\t")
        head = (
            f"POST /v1/account/balance HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Account: {account}\r\nSign: {sign}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        requests.append(head.encode())
    return requests


class Run:
    """What all connections share: the requests, the end, the counts."""

    def __init__(self, requests: list[bytes], until: float) -> None:
        self._requests = requests
        self._place = -1
        self.until = until
        self.latencies: list[float] = []
        self.refused = 0
        self.failed = 0

    def take(self) -> bytes:
        self._place = (self._place + 1) % len(self._requests)
        return self._requests[self._place]


class Connection(asyncio.Protocol):
    """Sends the next request once the answer to the last one is complete."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from it.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.take())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._buffer = b""
        now = time.perf_counter()
        self._run.latencies.append(now - self._sent_at)
        if not 200 <= int(head[9:12]) < 300:
            self._run.refused += 1
        if now < self._run.until:
            self._send()
        else:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._run.failed += 1
            self.ended.set_result(None)

    def _end(self) -> None:
        self.ended.set_result(None)
        self._transport.close()


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])


async def load(options: argparse.Namespace) -> dict[str, float]:
    start = time.perf_counter()
    run = Run(build_requests(options.requests, options.port, options.body), start + options.seconds)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", options.port)
        for _ in range(options.connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(connection.ended for _, connection in made)), options.seconds + 30)
    seconds = time.perf_counter() - start
    latencies = sorted(run.latencies) or [0.0]
    return {
        "requests": len(run.latencies),
        "seconds": seconds,
        "refused": run.refused,
        "failed": run.failed,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Load a server with signed balance requests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--body", default=_BODY, help="what was signed")
    parser.add_argument("requests", type=Path, help="lines of account, tab, Sign")
    print(json.dumps(uvloop.run(load(parser.parse_args()))))


if __name__ == "__main__":
    main()
