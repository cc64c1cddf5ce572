"""The yardstick: an application that only says hello, on the same server with the same settings as ours.

It is started by our own `serve` with the application exchanged, so that the settings cannot drift apart. Its answer
has the length and the headers of ours. By default it leaves the request's body unread, which is less than any
endpoint can do; with --read-body it waits for the body first, as every endpoint must.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from alikassa.protocol.messages import encode_balance
from alikassa.server import serve as our_serve
from alikassa.server.answers import Answer
from alikassa.server.settings import Settings

__all__ = ["HELLO", "Hello", "HelloAfterBody"]

HELLO = Answer.ok(encode_balance("RUB", "1000.84000000", *["0.00000000"] * 3))


class Hello:
    """A constant answer at once."""

    def __init__(self, _: Settings) -> None:
        pass

    async def __rsgi__(self, scope: Any, exchange: Any) -> None:
        exchange.response_bytes(*HELLO)


class HelloAfterBody(Hello):
    """A constant answer once the body is there."""

    async def __rsgi__(self, scope: Any, exchange: Any) -> None:
        await exchange()
        exchange.response_bytes(*HELLO)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a constant answer.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--read-body", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--header-seconds", type=float, default=Settings.header_seconds)
    options = parser.parse_args()
    application = HelloAfterBody if options.read_body else Hello
    with tempfile.TemporaryDirectory(prefix="alikassa-bench-bare-") as folder:
        # `serve` makes its books ready before it starts; nothing reads them here.
        settings = Settings(
            database=f"sqlite:///{Path(folder) / 'unused.db'}",
            port=options.port,
            operator=False,
            workers=options.workers,
            header_seconds=options.header_seconds,
        )
        with mock.patch.object(our_serve, "Application", application):
            our_serve.serve(settings)


if __name__ == "__main__":
    main()
